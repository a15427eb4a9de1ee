"""Text in and out at the command line: run --chat, chat and evaluate."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import sys
import time

import pytest

from wsekern.cli.sampling import printable
from wsekern.workload.sample import sample_path

TEMPLATE = "{% for m in messages %}{{ m.content }}{{ '. ' if m.role == 'user' else ' ' }}{% endfor %}"


@pytest.fixture
def model(tmp_path):
    """A copy of the sample model that can chat."""
    folder = tmp_path / "model"
    shutil.copytree(sample_path(), folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def run_json(wsekern, *arguments):
    code, out, err = wsekern("run", *map(str, arguments), "--tokens", "3", "--json", "-")
    assert code == 0, err
    return json.loads(out), err


def test_run_answers_in_the_template(wsekern, model):
    chat, _ = run_json(wsekern, model, "--system", "There was a fox", "--chat", "He said")
    plain, _ = run_json(wsekern, model, "--prompt", "There was a fox He said. ")
    assert chat["prompt"] == plain["prompt"] == "There was a fox He said. "
    assert chat["prompt_token_ids"] == plain["prompt_token_ids"][1:]  # the template writes its own begin token, or none
    code, out, _ = wsekern("run", str(model), "--chat", "He said", "--tokens", "2")
    assert code == 0 and "He said" not in out and "1 checked" in out


def test_run_obeys_generation_config_and_tells_so(wsekern, model):
    (model / "generation_config.json").write_text('{"do_sample": true, "top_k": 5, "eos_token_id": 1, "num_beams": 3}')
    drawn, err = run_json(wsekern, model, "--prompt", "The fox")
    assert drawn["sampling"] == "draws with temperature 1, top_k 5" and f"asks: {drawn['sampling']}" in err
    assert "num_beams is ignored" in err and drawn["notes"][0] in err
    greedy, err = run_json(wsekern, model, "--prompt", "The fox", "--temperature", "0", "--repetition-penalty", "1.5")
    assert greedy["sampling"] == "the likeliest token, repetition_penalty 1.5" and "asks" not in err


@pytest.mark.parametrize(("options", "words"), [
    (["--prompt", "x", "--chat", "y"], "either --prompt"), ([], "either --prompt"),
    (["--prompt", "x", "--system", "y"], "--system"),
    (["--chat", "x"], "has no chat template"), (["--prompt", "x", "--top-p", "2"], "at most the whole"),
    (["--prompt", "x", "--min-p", "2"], "at most the whole"), (["--prompt", "x", "--check", "all"], "all")])
def test_run_refuses_in_one_sentence(wsekern, options, words):
    code, out, err = wsekern("run", "sample", *options)
    assert code == 2 and not out and words in err and err.count("\n") == 1


@pytest.fixture
def feed(monkeypatch):
    """Gives the command a text on standard input."""
    with contextlib.ExitStack() as opened:

        def give(text: str) -> None:
            read, write = os.pipe()
            os.write(write, text.encode())
            os.close(write)
            monkeypatch.setattr(sys, "stdin", opened.enter_context(os.fdopen(read)))

        yield give


def test_chat_answers_line_by_line(wsekern, model, feed):
    feed("The fox\n\n   \nAnd the wolf\n/new\nThe fox\n")
    code, out, err = wsekern("chat", str(model), "--tokens", "4", "--context", "64")
    answers = out.splitlines()
    assert code == 0 and len(answers) == 3 and answers[0] == answers[2] and all(answers)
    stats = err.splitlines()
    assert len(stats) == 3 and all("tokens/s on the simulated WSE-3" in line for line in stats) and stats[0][:9] == stats[2][:9]


@pytest.mark.parametrize(("name", "options", "text", "words"), [
    ("sample", [], "hi\n", "has no chat template"), ("nowhere", [], "", "nowhere"),
    (None, ["--context", "20"], "fox " * 40, "cache holds 20: start anew")])
def test_chat_refuses_in_one_sentence(wsekern, model, feed, name, options, text, words):
    feed(text)
    code, _, err = wsekern("chat", name or str(model), *options)
    assert code == 2 and words in err and err.count("\n") == 1


def test_a_template_that_fails_is_told_and_the_chat_ends(wsekern, model, feed):
    (model / "chat_template.jinja").write_text("{{ raise_exception('No users!') }}")
    feed("hi\n")
    code, _, err = wsekern("chat", str(model))
    assert code == 2 and "chat_template.jinja: the chat template cannot be used: No users!" in err


class Terminal:
    """``wsekern chat`` on a terminal of its own."""

    def __init__(self, *arguments: str):
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells have jobs in the background ignore it
            os.execv(sys.executable, [sys.executable, "-m", "wsekern.cli", *arguments])
        self._waiting = ""

    def until(self, words: str, seconds: float = 60) -> str:
        """What comes, up to ``words``."""
        end = time.monotonic() + seconds
        while words not in self._waiting:
            assert time.monotonic() < end, f"{words!r} did not come: {self._waiting[-500:]!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                self._waiting += os.read(self._fd, 1024).decode(errors="replace")
        found, _, self._waiting = self._waiting.partition(words)
        return found + words

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._fd, text.encode())

    def code(self) -> int:
        """Exit code, when it has ended."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_chat_on_a_terminal(model):
    terminal = Terminal("chat", str(model), "--tokens", "400", "--context", "480", "--precision", "fp32")
    terminal.until("\n> ")
    terminal.type("The fox\r")
    terminal.until("The fox")
    time.sleep(1.5)
    terminal.type("\x03")  # stops the answer, long before its 400 tokens; or, on a busy machine, the reading of the prompt
    seen = terminal.until("\n> ")
    assert "here]" in seen or "(stopped)" in seen
    time.sleep(0.5)  # readline is listening
    terminal.type("\x03")
    assert "Ctrl-D ends" in terminal.until("\n> ")
    terminal.type("\x04")
    assert terminal.code() == 0


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_run_writes_on_a_terminal_as_it_comes():
    terminal = Terminal("run", "sample", "--prompt", "The fox", "--tokens", "3")
    seen = terminal.until("plain reference")
    assert seen.count("The fox") == 1 and seen.index("The fox") < seen.index("tokens/s")
    assert terminal.code() == 0


def test_a_terminal_gets_no_control_characters():
    assert printable("a\x1b[31m\n\t\x9bé👩\u200d🔬\r") == "a[31m\n\té👩\u200d🔬"


def test_evaluate_prints_a_row_for_each_arithmetic(wsekern):
    code, out, _ = wsekern("evaluate", "sample", "--tokens", "4", "--precision", "fp32", "--precision", "bf16", "--weights",
                           "16", "--weights", "4", "--json", "-")
    data = json.loads(out)
    assert code == 0 and data["tokens"] == 4 and data["text"].endswith("pride-and-prejudice.txt")
    assert [(row["precision"], row["weights"]) for row in data["rows"]] == [
        ("fp32", "stored"), ("fp32", "int4"), ("bf16", "stored"), ("bf16", "int4")]
    assert data["rows"][0]["perplexity"] == pytest.approx(data["exact_perplexity"], rel=1e-5)
    assert set(data["weight_formats"]) == {"int4"} and "32 inputs" in data["weight_formats"]["int4"]
    assert abs(data["rows"][1]["nats_above_exact"]) > abs(data["rows"][0]["nats_above_exact"])


def test_evaluate_without_choices_shows_each_precision_and_format(wsekern, tmp_path):
    (tmp_path / "text.txt").write_text("The fox and the wolf")
    code, out, _ = wsekern("evaluate", "sample", "--text", str(tmp_path / "text.txt"), "--tokens", "2")
    assert code == 0 and "exact fp32" in out and "2 tokens of text.txt" in out
    for name in ("fp16_fp32", "bf16", "scalar", "2024-08", "int8", "fp8", "int4-64", "mxfp4", "OCP MX"):
        assert name in out


def test_evaluate_keeps_the_rows_that_are_done(wsekern, monkeypatch):
    from wsekern.inference import perplexity

    score, calls = perplexity.score, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(perplexity, "score", interrupted)
    code, out, err = wsekern("evaluate", "sample", "--tokens", "2", "--json", "-")
    assert code == 130 and len(json.loads(out)["rows"]) == 2 and "interrupted" in err


@pytest.mark.parametrize(("options", "words"), [
    (["--text", "/nowhere.txt"], "cannot read /nowhere.txt"), (["--precision", "fp12"], "fp12"), (["--weights", "3"], "3"),
    (["--tokens", "1"], "1"), (["--tokens", "99999"], "tokens is 99999"), (["--grid", "2x2"], "smallest square grid")])
def test_evaluate_refuses_in_one_sentence(wsekern, options, words):
    code, out, err = wsekern("evaluate", "sample", *options)
    assert code == 2 and not out and words in err and err.count("\n") == 1

"""The command line as a user meets it: real commands, real output, one sentence and exit code 2 for bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from wsekern.cli import main
from wsekern.workload.sample import sample_path


def wsekern(*arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess:
    done = subprocess.run([sys.executable, "-m", "wsekern.cli", *arguments], capture_output=True, text=True, check=False,
                          **options)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run a command in this process and return the one sentence of its refusal."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["wsekern", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert stop.value.code == 2 and out == ""
        assert err.startswith("wsekern: ") and err.count("\n") == 1
        return err

    return run


def test_compare_executes_the_sample_and_compares():
    done = wsekern("compare", "--json", "-")
    data = json.loads(done.stdout)
    execution = data["execution"]
    assert execution["output_tokens"] > 20 and " " in execution["text"].strip()
    assert execution["prefill_cycles"] > 0 and execution["cycles_per_token"] > 0
    assert data["model"] == "llama3.1-8b" and data["not_served"] == {}
    assert data["wafer"]["tokens_per_second_per_user"] > data["cluster"]["tokens_per_second_per_user"]


def test_compare_says_what_it_executed_and_what_it_compares():
    text = " ".join(wsekern("compare").stdout.split())
    assert "the bundled sample" in text and "executed with every value" in text and "llama3.1-8b, timed by its shape" in text


def test_compare_shows_the_side_that_can_and_says_why_the_other_cannot():
    data = json.loads(wsekern("compare", "deepseek-v4-pro", "--cluster", "b200x8", "--json", "-").stdout)
    assert data["wafer"] is None and "cannot be mapped" in data["not_served"]["wafer"]
    assert data["cluster"]["requests_per_second"] > 0 and data["wafer_better_by"] == {}
    wsekern("compare", "deepseek-v4-pro", "--cluster", "h100x1", code=2)


def test_compare_a_shape_as_json():
    data = json.loads(wsekern("compare", "llama3-8b", "--cluster", "h100x8", "--json", "-").stdout)
    for side in ("wafer", "cluster", "cluster_ideal"):
        figures = data[side]
        assert 0 < figures["time_per_output_token_seconds"] < 1 and figures["watts"] > 0
        assert figures["memory_used_bytes"] <= figures["memory_available_bytes"]
        assert sum(figures["shares"].values()) == pytest.approx(1)
        assert figures["tokens_per_second"] * figures["joules_per_token"] == pytest.approx(figures["watts"])
        cycle = figures["time_to_first_token_seconds"] + 255 * figures["time_per_output_token_seconds"]
        assert figures["tokens_per_second"] == pytest.approx(256 / cycle)


def test_compare_draws_and_writes(tmp_path):
    plot, page, data = tmp_path / "c.png", tmp_path / "c.html", tmp_path / "c.json"
    done = wsekern("compare", "llama3-70b", "--wafers", "auto", "--plot", str(plot), "--html", str(page), "--json", str(data))
    assert "5 x WSE-3" in done.stdout and "tokens/s" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG") and "5 x WSE-3" in page.read_text()
    assert json.loads(data.read_text())["wafer"]["facts"]["wafers"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.html", "c.json", "c.png"]


def test_run_gives_the_same_text_for_one_and_two_threads_and_as_the_reference():
    common = ("run", "sample", "--prompt", "Once upon a time", "--tokens", "12", "--precision", "fp32", "--json", "-")
    one, two = (json.loads(wsekern(*common, "--threads", threads).stdout) for threads in ("1", "2"))
    assert one == two
    assert one["same_tokens_as_reference"] and one["output_tokens"] == 12


def test_run_samples_with_a_seed():
    common = ("run", "sample", "--prompt", "The fox", "--tokens", "10", "--temperature", "1", "--json", "-")
    texts = [json.loads(wsekern(*common, "--seed", seed).stdout)["text"] for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]


def test_run_drafts_tokens_and_writes_the_same():
    common = ("run", "sample", "--prompt", "Once upon a time there was a king. Once upon a time", "--tokens", "12")
    plain, some = (json.loads(wsekern(*common, *more, "--json", "-").stdout)
                   for more in ((), ("--speculate", "3", "--draft", "ngram", "--regions", "3")))
    found, none = some["speculation"], plain["speculation"]
    assert some["tokens"] == plain["tokens"] and none is None and some["same_tokens_as_reference"]
    assert found["regions"] == 3 and 0 < found["acceptance"] <= 1 and found["tokens_per_pass"] > 1
    assert some["cycles_per_token"] == found["cycles_per_token"] < found["plain_cycles_per_token"]
    assert "judged drafts accepted" in wsekern(*common, "--speculate", "3", "--draft", "ngram").stdout


def test_compare_states_what_is_assumed_of_drafts():
    done = wsekern("compare", "qwen3-0.6b", "--speculate", "3", "--acceptance", "0.6", "--draft", "layer:1").stdout
    said = " ".join(done.split())
    assert said.count("on either side") and said.count("each accepted with probability 0.6 if all before it were") == 1
    assert "the model's own first layer and its head" in said and "a step of these for each drafted token" in said


def test_run_moves_every_wavelet():
    done = wsekern("run", "sample", "--prompt", "The fox", "--tokens", "2", "--engine", "cycle", "--json", "-")
    both = json.loads(done.stdout)["both_engines"]
    assert both["operations_by_wavelet"] > 50 and both["local_work"] > 50 and both["largest_clock_difference_cycles"] == 0


@pytest.mark.parametrize("form", ["scalar", "vector", "vector-fp32"])
def test_run_computes_activations_as_asked(form):
    done = json.loads(wsekern("run", "sample", "--prompt", "The fox", "--tokens", "3", "--precision", "bf16", "--activations",
                              form, "--json", "-").stdout)
    assert done["activations"] == form and done["same_tokens_as_reference"]


def test_predict_prints_what_it_must():
    wafer = json.loads(wsekern("predict", "wafer", "llama3-8b", "--phase", "decode", "--machine", "wse2", "--grid", "420x420",
                               "--context", "4096", "--clock", "1.1e9", "--json", "-").stdout)
    assert {"tokens_per_second", "seconds", "cycles", "cycles_per_layer", "breakdown"} <= set(wafer)
    gpu = json.loads(wsekern("predict", "gpu", "llama3-8b", "--phase", "prefill", "--gpu", "h100", "--gpus", "8", "--tp", "8",
                             "--context", "4096", "--json", "-").stdout)
    assert {"tokens_per_second", "seconds", "breakdown"} <= set(gpu)
    operation = json.loads(wsekern("predict", "op", "meshgemv", "--grid", "208x208", "--tile", "8x8", "--groups", "8",
                                   "--json", "-").stdout)
    assert {"cycles", "energy", "breakdown"} <= set(operation)


def test_validate_shows_errors_and_draws(tmp_path):
    picture = tmp_path / "v.png"
    done = wsekern("validate", "--only", "wafer", "--plot", str(picture), "--json", "-")
    found = json.loads(done.stdout)
    assert {"id", "group", "measured", "predicted", "unit", "error"} <= set(found["rows"][0])
    assert {"group", "count", "predicted", "median_error", "worst_error"} <= set(found["groups"][0])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_interrupt_ends_at_once_and_cleanly():
    command = ["run", "sample", "--prompt", "x", "--tokens", "400", "--engine", "cycle"]    # minutes, were it let to end
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)      # jobs in the background are born deaf to it
    run = subprocess.Popen([sys.executable, "-m", "wsekern.cli", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, preexec_fn=listen)
    time.sleep(3)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=10)
    assert run.returncode == 130 and "Traceback" not in err and "interrupted" in err


def test_an_interrupt_while_modules_are_imported_leaves_no_traceback():
    """The start of Python itself aside: from the first module of the command line on, at whatever moment."""
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    begun = "import os, wsekern.interrupts; os.write(1, b'x'); import wsekern.cli; wsekern.cli.main()"
    for wait in (0.03, 0.06, 0.1, 0.2):
        run = subprocess.Popen([sys.executable, "-c", begun, "validate"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=listen)
        assert run.stdout.read(1) == b"x"
        time.sleep(wait)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=10)
        assert run.returncode == 130 and err.strip() == b"wsekern: interrupted"


def test_interrupt_leaves_the_text_so_far(monkeypatch, capsys):
    from wsekern.inference.wafer import WaferModel

    decode, calls = WaferModel.decode, []

    def decode_three(self, token):
        calls.append(token)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return decode(self, token)

    monkeypatch.setattr(WaferModel, "decode", decode_three)
    monkeypatch.setattr(sys, "argv", ["wsekern", "run", "sample", "--prompt", "The fox said", "--tokens", "9"])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert stop.value.code == 130 and err.strip() == "wsekern: interrupted"
    assert out.startswith("The fox said") and len(out) > len("The fox said\n")


def test_interrupt_before_the_first_token_leaves_no_text(monkeypatch, capsys):
    from wsekern.inference.wafer import WaferModel

    def interrupt(self, tokens, on_chunk=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(WaferModel, "prefill", interrupt)
    monkeypatch.setattr(sys, "argv", ["wsekern", "run", "sample", "--prompt", "The fox said"])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert stop.value.code == 130 and err.strip() == "wsekern: interrupted" and not out


def test_a_prompt_is_encoded_once(monkeypatch, capsys):
    from wsekern.workload.checkpoint import Checkpoint

    encode, seen = Checkpoint.encode, []
    monkeypatch.setattr(Checkpoint, "encode", lambda self, text: seen.append(text) or encode(self, text))
    monkeypatch.setattr(sys, "argv", ["wsekern", "run", "sample", "--prompt", "The fox", "--tokens", "1", "--json", "-"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0 and seen == ["The fox"]
    assert json.loads(capsys.readouterr().out)["prompt"] == "The fox"


def test_output_that_nobody_takes():
    """A closed pipe ends quietly; a full device is said in one sentence."""
    script = f"{sys.executable} -m wsekern.cli machines"
    closed = subprocess.run(["bash", "-c", f"{script} | true"], capture_output=True, text=True, check=False)
    assert closed.stderr == ""
    full = subprocess.run(["bash", "-c", f"{script} > /dev/full"], capture_output=True, text=True, check=False)
    assert full.returncode == 2 and full.stderr == "wsekern: cannot read or write the output: No space left on device\n"


def test_json_goes_through_links_and_into_devices(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "data.json")
    wsekern("machines", "wse2", "--json", str(tmp_path / "link.json"))
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "data.json").read_text())["name"] == "wse2"
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True)
    wsekern("machines", "wse2", "--json", str(tmp_path / "pipe"))
    assert json.loads(reader.communicate(timeout=10)[0])["name"] == "wse2"


def test_a_group_alone_shows_its_commands():
    assert "compare" in wsekern().stdout and "wafer" in wsekern("predict").stdout


def test_machines_lists_both_sides():
    done = wsekern("machines")
    for name in ("wse1", "wse2", "wse3", "a100", "h100", "h200", "b200", "gb200", "llama3-8b"):
        assert name in done.stdout.lower()
    assert json.loads(wsekern("machines", "--json", "-").stdout)


@pytest.mark.parametrize(("arguments", "words"), [
    (["compare", "/no/such/folder"], ["/no/such/folder", "config.json"]),
    (["compare", "llama3-8b", "--wafer", "wse9"], ["wse9", "wse3"]),
    (["compare", "llama3-8b", "--cluster", "abacusx8"], ["abacus"]),
    (["compare", "llama3-8b", "--precision", "fp12"], ["fp12"]),
    (["compare", "llama3-8b", "--profile", "dream"], ["dream", "silicon"]),
    (["compare", "llama3-8b", "--prompt", "0"], ["prompt"]),
    (["compare", "llama3-8b", "--batch", "-3"], ["batch"]),
    (["compare", "llama3-8b", "--wafers", "none"], ["none", "auto"]),
    (["compare", "llama3-70b", "--wafers", "1"], ["does not fit"]),
    (["compare", "llama3-8b", "--tp", "3"], ["tp 3", "heads"]),
    (["compare", "llama3-8b", "--tp", "4", "--pp", "4"], ["16 GPUs", "h100x8"]),
    (["compare", "llama3-8b", "--ep", "2"], ["ep 2", "no experts"]),
    (["compare", "llama3-8b", "--gpu-precision", "fp5"], ["fp5", "fp8"]),
    (["compare", "llama3-8b", "--kv-precision", "fp5"], ["fp5", "fp8"]),
    (["compare", "llama3-8b", "--think", "-1"], ["think"]),
    (["compare", "llama3-8b", "--speculate", "3"], ["--acceptance"]),
    (["compare", "llama3-8b", "--acceptance", "0.5"], ["--speculate"]),
    (["compare", "llama3-8b", "--speculate", "3", "--acceptance", "2"], ["--acceptance", "at most the whole"]),
    (["compare", "llama3-8b", "--draft", "ngram"], ["--draft goes with --speculate"]),
    (["compare", "llama3-8b", "--speculate", "3", "--acceptance", "0.7", "--draft", "layer:32"], ["N below 32"]),
    (["compare", "llama3-8b", "--speculate", "3", "--acceptance", "0.7", "--draft", "qwen3-0.6b"], ["vocabulary"]),
    (["run", "sample", "--prompt", "x", "--speculate", "3"], ["--speculate and --draft go together"]),
    (["run", "sample", "--prompt", "x", "--regions", "3"], ["--regions"]),
    (["run", "sample", "--prompt", "x", "--speculate", "3", "--draft", "layer:0"], ["layer:0", "layer:1"]),
    (["compare", "llama3-8b", "--shared-prefix", "1.5"], ["shared-prefix", "at most the whole"]),
    (["compare", "llama3-8b", "--prefill-cluster", "abacusx8"], ["abacus"]),
    (["compare", "llama3-8b", "--json", "/no/such/folder/x.json"], ["/no/such/folder/x.json"]),
    (["compare", "llama3-8b", "--plot", "x.docx"], [".png"]),
    (["run", "/no/such/folder", "--prompt", "x"], ["/no/such/folder"]),
    (["run", "sample", "--prompt", "x", "--grid", "0x0"], ["0x0"]),
    (["run", "sample", "--prompt", "x", "--grid", "2x2"], ["PE (0, 0)", "smallest square grid"]),
    (["run", "sample", "--prompt", "x", "--grid", "9999x9999"], ["9999x9999"]),
    (["run", "sample", "--prompt", "x", "--grid", "12"], ["WIDTHxHEIGHT"]),
    (["run", "sample", "--prompt", "x", "--precision", "int3"], ["int3"]),
    (["run", "sample", "--prompt", "x", "--activations", "table"], ["activations", "vector-fp32"]),
    (["predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "9x9", "--context", "9", "--activations", "scalar"],
     ["mapping=ours"]),
    (["run", "sample", "--prompt", "word " * 5000], ["positions"]),
    (["run", "sample", "--prompt", "x", "--tokens", "0"], ["tokens"]),
    (["run", "sample", "--prompt", "x", "--temperature", "-1"], ["temperature"]),
    (["run", "sample"], ["--prompt"]),
    (["nonsense"], ["nonsense"]),
    (["run", "sample", "--prompt", "x", "--grid", "9x²"], ["WIDTHxHEIGHT"]),
    (["run", "sample", "--prompt", "x", "--threads", "100000"], ["threads", "1,024"]),
    (["run", "sample", "--prompt", "x", "--seed", "-1"], ["seed"]),
    (["run", "sample", "--prompt", "x", "--seed", "1"], ["--seed goes with tokens that are drawn"]),
    (["run", "sample", "--prompt", "x", "--temperature", "0", "--top-p", "0.5"], ["--top-p goes with tokens that are drawn"]),
    (["compare", "sample", "--json", "a", "--json", "b"], ["--json is given twice"]),
    (["compare", "sample", "--html", "-"], ["standard output, which takes JSON alone"]),
    (["compare", "llama3-8b", "--cluster", "h100x" + "9" * 5000], ["no cluster"]),
    (["run", "sample", "--prompt", "x", "--top-p", "nan"], ["top-p"]),
    (["run", "llama3-8b", "--prompt", "x"], ["shape only", "config.json"]),
    (["run", "sample", "--prompt", "x", "--json", ""], ["name of a file"]),
    (["run", "sample", "--prompt", "x", "--json", "/"], ["name of a file"]),
    (["compare", "llama3-8b", "--batches", ""], ["batches"]),
    (["compare", "llama3-8b", "--batch", "1000000000000"], ["batch"]),
    (["compare", "llama3-8b", "--wafers", "²"], ["wafers"]),
    (["compare", "llama3-8b", "--power", "1MW", "--min-speed", "nan"], ["min-speed", "finite"]),
    (["compare", "x" * 5000], ["no model"]),
    (["predict", "wafer", "llama3-8b", "--grid", "4x4", "--context", "9"], ["--phase", "decode, prefill"]),
    (["predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "4x4", "--context", "9", "--clock", "inf"], ["clock"]),
    (["predict", "op", "meshgemv", "--grid", "4x4", "--tile", "99999999999999999999x8"], ["tile"]),
    (["machines", "abacus"], ["abacus", "wse3"]),
    (["predict", "op", "nonsense"], ["nonsense"]),
    (["predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "4x5", "--context", "10"], ["square"]),
    (["predict", "gpu", "llama3-8b", "--phase", "decode", "--context", "0"], ["context"]),
    (["predict", "gpu", "llama3-8b", "--phase", "decode", "--context", "9", "--gpus", "0"], ["--gpus", "from 1"]),
    (["predict", "gpu", "llama3-8b", "--phase", "decode", "--context", "9", "--gpu", "x"], ["no GPU 'x'"]),
    (["predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "9x9", "--context", "9", "--clock", "1e300"],
     ["--clock", "1e+11", "Hz"]),
    (["predict", "wafer", "llama3-8b", "--phase", "decode", "--grid", "100x100", "--context", "9"],
     ["100x100", "of 49,152 B", "smallest square grid that fits is "]),
    (["predict", "op", "broadcast", "--grid", "8x1", "--words", "3", "--relays", "1"], ["broadcast has no relays"]),
    (["compare", "llama3-8b", "--rate", "1", "--slo-ttft", "1", "--slo-share", "1.5"], ["--slo-share", "at most the whole"]),
    (["compare", "llama3-8b", "--batch", "1", "--power", "1kW"], ["WSE-3 (CS-3) is rated at 23 kW", "0.76 kW are left"]),
    (["compare", "llama3-8b", "--power", "750"], ["'750'", "750MW"]),
    (["run", "sample", "--prompt", "x", "--top-p", "2"], ["--top-p", "at most the whole"]),
    (["validate", "--data", "/no/such/file.csv"], ["/no/such/file.csv"]),
    (["validate", "--data", "pyproject.toml"], ["columns"]),
    (["csl", "build", "-1x4"], ["-1x4", "its value behind it"]),
])
def test_bad_input_is_one_sentence(refused, arguments, words):
    message = refused(*arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize(("arguments", "words"), [
    (["compare", "llama3-8b", "--json", "F", "--html", "F"], ["--json and --html both name F"]),
    (["compare", "llama3-8b", "--html", "./F.png", "--plot", "G/../F.png"], ["--html and --plot both name"]),
    (["predict", "op", "reduce-crossover", "--words", "8", "--plot", "F.png", "--json", "F.png"], ["both name F.png"]),
    (["compare", "llama3-8b", "--trace", "trace.csv", "--json", "trace.csv"], ["--json names trace.csv", "--trace reads"]),
    (["machines", "wafer.toml", "--json", "wafer.toml"], ["--json names wafer.toml", "reads"]),
    (["run", "model", "--prompt", "x", "--json", "model/config.json"], ["--json names model/config.json", "MODEL reads"]),
    (["predict", "cluster", "llama3-8b", "--cluster", "gpu.tomlx8", "--json", "gpu.toml"], ["--json names gpu.toml"]),
])
def test_outputs_are_files_of_their_own(refused, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    for folder in ("G", "model"):
        (tmp_path / folder).mkdir()
    inputs = [tmp_path / name for name in ("trace.csv", "wafer.toml", "gpu.toml", "model/config.json")]
    for file in inputs:
        file.write_text("kept")
    message = refused(*arguments)
    assert all(word in message for word in words)
    assert all(file.read_text() == "kept" for file in inputs) and not list(tmp_path.glob("F*"))


def test_a_sweep_times_every_number_of_users_once(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["wsekern", "compare", "llama3-8b", "--batches", "1,1,2,1", "--json", "-"])
    with pytest.raises(SystemExit):
        main()
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["request"]["batch"] if "request" in cell else cell["batch"] for cell in cells] == [1, 2]


def test_a_broken_model_folder_is_one_sentence(refused, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((sample_path() / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes((sample_path() / "model.safetensors").read_bytes()[:1000])
    assert "model.safetensors" in refused("run", str(tmp_path), "--prompt", "x")


def test_run_in_a_small_memory_gives_the_same():
    arguments = ("run", "sample", "--prompt", "The wolf", "--tokens", "2", "--check", "none", "--json", "-")
    whole, small = (json.loads(wsekern(*arguments, *more).stdout) for more in ((), ("--memory", "1.2MB")))
    assert small == whole
    assert "does not hold the embedding, the head and the cache" in wsekern(*arguments, "--memory", "9kB", code=2).stderr
    assert "'much' is no size of memory" in wsekern(*arguments, "--memory", "much", code=2).stderr

"""README.md and docs/: generated parts are current, links lead somewhere, commands and Python run as written."""

import doctest
import re
import shlex
import sys
from itertools import islice
from pathlib import Path

import click
import pytest

import wsekern.docs.__main__ as command
from wsekern.calibration.levers import in_words, lines
from wsekern.cli import cli
from wsekern.cli.options import run_command
from wsekern.docs.pages import CLOSING, OPENING, Picture, rewrite
from wsekern.docs.parts import PICTURES, SLOW, parts_of
from wsekern.docs.picture import labels_of
from wsekern.errors import InputError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SHOWN = [str(page.relative_to(ROOT)) for page in PAGES]


FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of ``language`` on a page; of none, where it is empty."""
    return [found["text"] for found in FENCE.finditer(page.read_text(encoding="utf-8")) if found["language"] == language]


def test_generated_parts_are_current():
    differing = rewrite(ROOT, parts_of(ROOT), PICTURES, check=True, leave=SLOW)
    assert not differing, f"type `python -P -m wsekern.docs` in the source folder: {', '.join(differing)}"


def test_the_first_figures_of_the_levers_are_current():
    """The others take minutes: `python -P -m wsekern.docs` writes them."""
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| (.*?) \| (.*?) \|", page[page.index("| lever |"):], re.MULTILINE))
    found = {line.name: in_words(line.cells[0]) for line in islice(lines(("llama3-8b",)), 3)}
    assert found == {name: shown[name] for name in found}


def test_parts_that_are_left_stay_as_they_are(tmp_path):
    page = site(tmp_path, f"{OPENING.format('one')}\n\nold\n\n{CLOSING}\n{OPENING.format('two')}\n{CLOSING}\n")
    parts = {"one": lambda: pytest.fail("it is left"), "two": lambda: "new"}
    assert rewrite(tmp_path, parts, [], leave=("one",)) == ["docs/page.md: two"]
    assert "\nold\n" in page.read_text() and "\nnew\n" in page.read_text()


def test_readme_is_a_front_door():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "pip install . && wsekern compare\n" in text and 'pip install ".[test]" && pytest -q\n' in text


def site(folder: Path, text: str) -> Path:
    """A source folder with one page that holds ``text``."""
    (folder / "docs").mkdir()
    (folder / "README.md").write_text("front\n")
    page = folder / "docs" / "page.md"
    page.write_text(text)
    return page


def test_a_part_is_written_once_and_then_current(tmp_path):
    page = site(tmp_path, f"before\n{OPENING.format('one')}\n{CLOSING}\nbehind\n")
    parts = {"one": lambda: "| a |\n|---|\n"}
    assert rewrite(tmp_path, parts, [], check=True) == ["docs/page.md: one"]
    assert "| a |" not in page.read_text()
    assert rewrite(tmp_path, parts, []) == ["docs/page.md: one"]
    assert page.read_text() == f"before\n{OPENING.format('one')}\n\n| a |\n|---|\n\n{CLOSING}\nbehind\n"
    assert rewrite(tmp_path, parts, []) == []


def test_only_a_changed_part_is_named_and_the_text_around_it_stays(tmp_path):
    page = site(tmp_path, "".join(f"{OPENING.format(name)}\n\n{name}\n\n{CLOSING}\nhand-written {name}\n"
                                  for name in ("one", "two")))
    assert rewrite(tmp_path, {"one": lambda: "one", "two": lambda: "new"}, []) == ["docs/page.md: two"]
    assert page.read_text().count("hand-written") == 2 and "\nnew\n" in page.read_text()


@pytest.mark.parametrize(("text", "parts", "sentence"), [
    (f"{OPENING.format('one')}\nno end\n", ["one"], "docs/page.md: a generated part has no end"),
    (f"{OPENING.format('one')}\n{OPENING.format('two')}\n{CLOSING}\n", ["one", "two"], "has no end"),
    (f"{OPENING.format('three')}\n{CLOSING}\n", ["one"], "no generated part is called 'three'; use one of one"),
    ("nothing\n", ["one"], "no page has the generated part one"),
])
def test_broken_markers_are_refused(tmp_path, text, parts, sentence):
    site(tmp_path, text)
    with pytest.raises(InputError, match=re.escape(sentence)):
        rewrite(tmp_path, {name: str for name in parts}, [])


def run_main(monkeypatch, *arguments: str) -> int:
    """Exit code of ``python -m wsekern.docs`` where the only part says "new"."""
    monkeypatch.setattr(command, "parts_of", lambda root: {"one": lambda: "new"})
    monkeypatch.setattr(command, "PICTURES", [])
    monkeypatch.setattr(sys, "argv", ["wsekern.docs", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_command(command.main)
    return ended.value.code


def test_check_fails_and_names_what_differs_until_it_is_written(tmp_path, monkeypatch, capsys):
    site(tmp_path, f"{OPENING.format('one')}\n\nold\n\n{CLOSING}\n")
    where = ("--root", str(tmp_path))
    assert run_main(monkeypatch, *where, "--check") == 1
    assert "differs: docs/page.md: one" in capsys.readouterr().out
    assert run_main(monkeypatch, *where) == 0
    assert run_main(monkeypatch, *where, "--check") == 0


def test_another_folder_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys):
    assert run_main(monkeypatch, "--root", str(tmp_path), "--check") == 2
    assert "give --root the source folder" in capsys.readouterr().err


def test_pictures_are_compared_by_what_they_say(tmp_path):
    site(tmp_path, "")
    draw = Picture("docs/p.svg", lambda: "<svg><!-- label --><path d='1'/></svg>", labels_of)
    assert rewrite(tmp_path, {}, [draw], check=True) == ["docs/p.svg"]
    assert rewrite(tmp_path, {}, [draw]) == ["docs/p.svg"]
    assert rewrite(tmp_path, {}, [draw._replace(draw=lambda: "<svg><!-- label --><path d='2'/></svg>")], check=True) == []
    assert rewrite(tmp_path, {}, [draw._replace(draw=lambda: "<svg><!-- other --></svg>")], check=True) == ["docs/p.svg"]


def test_the_picture_has_no_date_and_shows_both_engines():
    text = (ROOT / "docs" / "overview.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in text
    assert {"cycle engine", "flow engine", "machine", "workload", "mapping", "cluster"} <= set(labels_of(text))


@pytest.mark.parametrize("page", PAGES, ids=SHOWN)
def test_links_lead_to_files_of_the_tree(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        assert "://" in target or (page.parent / target).is_file(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=SHOWN)
def test_commands_are_accepted_by_the_command_line(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in commands_of(page):
        asked, words = cli, shlex.split(line)[1:]
        context = click.Context(cli, info_name="wsekern")
        while isinstance(asked, click.Group) and words and words[0] in asked.commands:
            asked, words = asked.commands[words[0]], words[1:]
            context = click.Context(asked, parent=context, info_name=asked.name)
        if words or not line.endswith(f" {asked.name}"):  # else the command is only named
            asked.make_context(str(asked.name), words, parent=context)


def commands_of(page: Path) -> list[str]:
    """Commands on a page: lines of blocks without a language, and inline code that begins with ``wsekern``."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    lines += re.findall(r"`(wsekern [^`]*)`", FENCE.sub("", page.read_text(encoding="utf-8")))
    found = [re.split(r"\s{2,}", line.strip())[0] for line in (re.sub(r"\n\s*", " ", line) for line in lines)]
    return [line for line in found if line.startswith("wsekern ")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs_as_written(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "pycon")], ids=lambda page: page.name)
def test_a_session_prints_what_is_shown(page):
    session = doctest.DocTestParser().get_doctest("".join(blocks(page, "pycon")), {}, page.name, str(page), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session).failed == 0 < len(session.examples)

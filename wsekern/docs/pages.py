"""Generated parts inside Markdown pages: where they stand, and how they are replaced."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from wsekern.errors import InputError
from wsekern.output import write_file

OPENING = "<!-- generated: {}, by python -m wsekern.docs -->"
CLOSING = "<!-- end -->"
_PART = re.compile(r"<!-- generated: (?P<name>[a-z-]+), by python -m wsekern\.docs -->\n(?P<text>.*?)<!-- end -->", re.DOTALL)


class Picture(NamedTuple):
    """A drawn file: ``draw`` gives its text, ``labels`` reads from such a text what must agree."""

    path: str
    draw: Callable[[], str]
    labels: Callable[[str], list[str]]


def rewrite(root: Path, parts: Mapping[str, Callable[[], str]], pictures: list[Picture], check: bool = False,
            leave: Collection[str] = ()) -> list[str]:
    """Write every generated part and picture under ``root`` that differs from what the package says; return their names.

    With ``check`` nothing is written; the parts of ``leave`` stay as they are. :class:`InputError` where ``root`` has no
    README.md and docs/, where a page has a part of an unknown name or without an end, and where a part of ``parts`` stands on
    no page.
    """
    pages = [root / "README.md", *sorted((root / "docs").glob("**/*.md"))]
    if not (root / "docs").is_dir() or not pages[0].is_file():
        raise InputError(f"{root} holds no README.md and docs/: give --root the source folder of wsekern")
    made, differing = _Made(parts, leave), []
    for page in pages:
        differing += _rewrite_page(page, page.relative_to(root), made, check)
    if missing := set(parts) - set(made.texts) - set(leave):
        raise InputError(f"no page has the generated part {', '.join(sorted(missing))}: put its markers where it belongs")
    for picture in pictures:
        differing += _redraw(root, picture, check)
    return differing


class _Made:
    """Texts of the parts, each made once."""

    def __init__(self, parts: Mapping[str, Callable[[], str]], leave: Collection[str]):
        self._parts, self._leave = parts, leave
        self.texts: dict[str, str] = {}

    def text(self, name: str, page: Path, before: str) -> str:
        """The text of part ``name``, which stands on ``page`` and says ``before`` now."""
        if name not in self._parts:
            raise InputError(f"{page}: no generated part is called {name!r}; use one of {', '.join(sorted(self._parts))}")
        if name in self._leave:
            return before
        if name not in self.texts:
            self.texts[name] = self._parts[name]().strip("\n")
        return self.texts[name]


def _rewrite_page(path: Path, shown: Path, made: _Made, check: bool) -> list[str]:
    old, differing = path.read_text(encoding="utf-8"), []
    if old.count("<!-- generated:") != len(_PART.findall(old)):
        raise InputError(f"{shown}: a generated part has no end; close it with {CLOSING} on a line of its own")

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        text = f"\n{made.text(name, shown, match['text'].strip(chr(10)))}\n\n"
        if match["text"] != text:
            differing.append(f"{shown}: {name}")
        return f"{OPENING.format(name)}\n{text}{CLOSING}"

    new = _PART.sub(replacement, old)
    if new != old and not check:
        write_file(path, new)
    return differing


def _redraw(root: Path, picture: Picture, check: bool) -> list[str]:
    """Pictures are compared by their labels: other versions of matplotlib draw the same in other words."""
    path, new = root / picture.path, picture.draw()
    if path.is_file() and picture.labels(path.read_text(encoding="utf-8")) == picture.labels(new):
        return []
    if not check:
        path.parent.mkdir(exist_ok=True)
        write_file(path, new)
    return [picture.path]

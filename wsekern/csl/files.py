"""Source files: found, read and parsed once, whoever imports them."""

from difflib import get_close_matches
from importlib.resources import files as resources
from pathlib import Path

from wsekern.csl import syntax
from wsekern.csl.parser import parse
from wsekern.csl.source import CslError, Diagnostic, Diagnostics, Source, Span
from wsekern.errors import InputError

LIBRARY = resources("wsekern.csl") / "lib"
ALIASES = {"memcpy_multi/get_params": "memcpy/get_params", "memcpy_multi/memcpy": "memcpy/memcpy"}
"""Libraries under names of earlier dialects."""


class Files:
    """Parsed files by path; ``read``: those of the user, in order; ``top``: the folder of the file that is compiled."""

    def __init__(self, top: Path | None = None) -> None:
        self._known: dict[str, syntax.File] = {}
        self.read: list[Source] = []
        self._top = top

    def parse(self, path: Path, diagnostics: Diagnostics, name: str | None = None) -> syntax.File:
        """The tree of a file; its syntax errors are kept in ``diagnostics``."""
        key = str(path.resolve())
        if key not in self._known:
            source = Source.read(path, name)
            self.read.append(source)
            self._known[key] = parse(source, diagnostics)
            diagnostics.check()
        return self._known[key]

    def find(self, path: str, importer: object, folders: tuple[Path, ...], span: Span | None,
             diagnostics: Diagnostics) -> tuple[str, syntax.File, Path | None]:
        """(name, tree, folder) of an import: a library in angle brackets, else a file beside the importer, beside the file
        that is compiled, in ``folders`` or the working directory."""
        if path.startswith("<") and path.endswith(">"):
            found = self._library(path[1:-1], diagnostics)
            if found is not None:
                return path, found, None
            for folder in folders:
                for each in (folder / path[1:-1], folder / f"{path[1:-1]}.csl"):
                    if each.is_file():
                        return path, self.parse(each, diagnostics), each.parent
            near = get_close_matches(path[1:-1], libraries(), 1)
            help_ = f"; did you mean <{near[0]}>?" if near else f": there are {', '.join(libraries())}"
            self._fail(f"no library {path}{help_}", span)
        around = [getattr(importer, "folder", None), self._top, *folders, Path()]
        places = [Path(path)] if Path(path).is_absolute() else list(dict.fromkeys(
            folder / path for folder in around if folder is not None))
        for each in places:
            if each.is_file():
                return path, self.parse(each, diagnostics), each.parent
        self._fail(f"no file {path}" + (f" in {', '.join(str(each.parent) for each in places)}" if places else ""), span)
        raise AssertionError

    def _library(self, name: str, diagnostics: Diagnostics) -> syntax.File | None:
        name = ALIASES.get(name, name)
        entry = LIBRARY.joinpath(f"{name}.csl")
        if not entry.is_file():
            return None
        key = f"<{name}>"
        if key not in self._known:
            self._known[key] = parse(Source(key, entry.read_text(encoding="utf-8")), diagnostics)
            diagnostics.check()
        return self._known[key]

    @staticmethod
    def _fail(message: str, span: Span | None) -> None:
        if span is None:
            raise InputError(message)
        raise CslError([Diagnostic(message, span)])


def text_of(name: str) -> str | None:
    """The text of a file by its name in messages, a library or a path; None where it cannot be read."""
    if name.startswith("<"):
        entry = LIBRARY.joinpath(f"{name[1:-1]}.csl")
        return entry.read_text(encoding="utf-8") if entry.is_file() else None
    try:
        return Source.read(name).text
    except InputError:
        return None


def libraries() -> list[str]:
    """Names of the libraries that are there."""
    root = Path(str(LIBRARY))
    return sorted(str(each.relative_to(root).with_suffix("")) for each in root.rglob("*.csl"))

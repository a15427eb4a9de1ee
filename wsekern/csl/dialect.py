"""Which dialect of CSL a program is written in: told from what its files say, unless it is given."""

import re
from dataclasses import dataclass
from pathlib import Path

from wsekern.errors import InputError

DIALECTS = ("0.x", "1.x", "2.10")
NEWEST = DIALECTS[-1]

_QUOTED = re.compile(r'"([^"\n]+)"')
_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*')
_HOST_COLOR = re.compile(r"\.\s*MEMCPY(?:H2D|D2H)_\w+\s*=\s*([A-Za-z_]\w*|@get_color\b|@as\b|\d)")

OLDEST_SIGNS = ((r"<memcpy_multi/", "imports <memcpy_multi/...>"), (r"@bind_task\b", "calls @bind_task"),
                (r"@rpc\b", "calls @rpc"), (r"\.\s*LAUNCH\s*=", "passes LAUNCH"))
MIDDLE_SIGNS = ((r"\bcomptime_struct\b", "says comptime_struct"), (r"@concat_structs\b", "calls @concat_structs"))
UNTYPED = re.compile(r"\bparam\s+\w+\s*(?:=[^;]*)?;")


@dataclass(frozen=True)
class Dialect:
    """A dialect, and what says so."""

    name: str
    reason: str

    def text(self) -> str:
        """As the compiler prints it."""
        return f"dialect {self.name}: {self.reason} (--dialect chooses another)"


def sources(path: Path, folders: tuple[Path, ...] = ()) -> dict[Path, str]:
    """Text without comments of a layout file and of all files that it names, directly or not."""
    found: dict[Path, str] = {}
    waiting = [path.resolve()]
    while waiting:
        here = waiting.pop()
        if here in found:
            continue
        text = here.read_text(encoding="utf-8", errors="replace")
        found[here] = text = _COMMENT.sub(lambda each: "" if each[0].startswith("//") else each[0], text)
        for name in _QUOTED.findall(text):
            for folder in (here.parent, path.resolve().parent, *folders):
                near = folder / (name if name.endswith(".csl") else f"{name.strip('<>')}.csl")
                if near.is_file():
                    waiting.append(near.resolve())
                    break
    return found


def detect(path: Path, folders: tuple[Path, ...] = ()) -> Dialect:
    """The dialect of a program by the signs of each, the oldest first; the newest where there is none."""
    if not path.is_file():
        return Dialect(NEWEST, "there is no file to tell from")
    texts = sources(path, folders)
    for name, signs in (("0.x", OLDEST_SIGNS), ("1.x", MIDDLE_SIGNS)):
        for sign, said in signs:
            for file, text in texts.items():
                if re.search(sign, text):
                    return Dialect(name, f"{file.name} {said}")
    for file, text in texts.items():
        given = _gives_color(text)
        if given:
            return Dialect("1.x", f"{file.name} gives the color {given} to <memcpy/get_params>")
    for file, text in texts.items():
        if UNTYPED.search(text):
            return Dialect(NEWEST, f"{file.name} has a parameter without a type")
    return Dialect(NEWEST, "it is the newest, and nothing says otherwise")


def _gives_color(text: str) -> str:
    """The name of a color that a host stream is bound to, "" where streams have plain numbers."""
    for name in _HOST_COLOR.findall(text):
        declared = rf"\b{name}\s*(?::\s*color\b|=\s*@get_color\b|:\s*color\s*=)"
        if name == "@get_color" or (name[0].isalpha() and re.search(declared, text)):
            return name
    return ""


def chosen(name: str, path: Path, folders: tuple[Path, ...] = ()) -> Dialect:
    """The dialect that was asked for, or the one that the files show ("auto")."""
    if name in ("", "auto"):
        return detect(path, folders)
    near = {"0": "0.x", "1": "1.x", "2": "2.10", "1.4": "1.x", "2.x": "2.10"}.get(name, name)
    if near not in DIALECTS:
        raise InputError(f"no dialect {name!r}: there are {', '.join(DIALECTS)}, and auto")
    return Dialect(near, "as asked")

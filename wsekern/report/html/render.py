"""A page as HTML text: templates, style and script of this folder in one file."""

import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from wsekern.output import to_json
from wsekern.report.html.parts import Page

_NUMBER = re.compile(r"[-+~<>]?\s*\d|-$|$")
"""How a cell begins that holds a number, or nothing."""


def render(page: Page) -> str:
    """The whole page; it reads nothing from anywhere."""
    return _environment().get_template("page.html").render(page=page, style=_text("style.css"), script=_text("page.js"),
                                                           data=_data(page.data))


def _text(name: str) -> str:
    return files("wsekern.report.html").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True)
    made.filters |= {"percent": _percent, "slug": _slug, "numeric": _numeric, "sentence": _sentence, "letter": _letter}
    made.tests["kind"] = _is_kind
    return made


def _data(data: Any) -> str:
    """JSON that no HTML parser ends early; nothing where there is none."""
    return json.dumps(json.loads(to_json(data)), separators=(",", ":")).replace("</", "<\\/") if data else ""


def _percent(value: float) -> str:
    """Hundredths are finer than a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if "." in f"{value:.2f}" else f"{value:.2f}"


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a name such as h100x8."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\b", text) else text


def _letter(number: int) -> str:
    """A, B, ... for what is counted from 1."""
    return chr(ord("A") + (number - 1) % 26)


def _slug(title: str) -> str:
    """A name for links."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _numeric(table: Any) -> list[bool]:
    """Of each column, whether its cells are numbers."""
    columns = zip(*table.rows, strict=False)
    return [number > 0 and all(_NUMBER.match(cell) for cell in column) for number, column in enumerate(columns)]


def _is_kind(part: object, name: str) -> bool:
    return type(part).__name__ == name

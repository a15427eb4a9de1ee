"""griffe extension: docstrings as Python writes them, turned into Markdown.

Doctests become fenced blocks, ``:class:`Name``` becomes `Name`, and a compiled module's stub takes the docstrings that stand in
its Cython source (``src/X/_module.pyx``).
"""

import re
from pathlib import Path

from griffe import Docstring, Extension, Object

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc|obj|ref):`~?\.?([^`]+)`")
DEFINITION = re.compile(
    r'^(?P<indent> *)(?:cdef class|class|def|cpdef [\w *]+?)\s+(?P<name>\w+)[^\n]*(?:\n[^\n"]*)*?:\n\s*"""(?P<text>.*?)"""',
    re.MULTILINE | re.DOTALL)


def markdown(text: str) -> str:
    """``text`` with doctests fenced and roles as code."""
    lines, inside = [], False
    for line in ROLE.sub(r"`\1`", text).splitlines():
        begins = line.lstrip().startswith(">>>")
        if begins and not inside:
            lines += ["", "```pycon"]
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


class PlainDocstrings(Extension):
    """Rewrites every docstring once, when its object is complete."""

    def on_object(self, *, obj: Object, **kwargs: object) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)

    def on_module(self, *, mod: Object, **kwargs: object) -> None:
        """Called when a module and all its members are known."""
        stub = mod.filepath if isinstance(mod.filepath, Path) else None
        if stub is None or stub.suffix != ".pyi":
            return
        for source in Path("src").glob(f"*/{stub.stem}.pyx"):
            _document(mod, source.read_text(encoding="utf-8"))


def _document(module: Object, source: str) -> None:
    """Give ``module`` and its members without a docstring those of the same name in ``source``."""
    if module.docstring is None and (first := re.match(r'(?:#[^\n]*\n)*\s*"""(.*?)"""', source, re.DOTALL)):
        module.docstring = Docstring(markdown(first[1]), parent=module)
    owner = module
    for match in DEFINITION.finditer(source):
        parent = module if not match["indent"] else owner
        member = parent.members.get(match["name"])
        if member is None:
            continue
        if not match["indent"] and member.is_class:
            owner = member
        if member.docstring is None:
            text = re.sub(r"\n\s+", "\n", match["text"].strip())
            member.docstring = Docstring(markdown(text), parent=member)

"""Values that a file of JSON holds: ``@import_comptime_value(T, "file.json")``."""

import json
from pathlib import Path
from typing import Any

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.builtins import builtin, text_of
from wsekern.csl.coerce import array_of, coerce
from wsekern.csl.functions import Evaluator
from wsekern.csl.types import Type
from wsekern.csl.values import Value


@builtin("import_comptime_value", arguments=2)
def import_comptime_value(ev: Evaluator, node: syntax.Builtin) -> Value:
    """What a file beside the importing one, or in the folders of ``--import-path``, says."""
    wanted, name = ev.type_at(node.arguments[0]), text_of(ev, node.arguments[1])
    folders = [ev.scope.module.folder or Path(), *ev.unit.options.folders]
    path = next((each for each in (Path(folder) / name for folder in folders) if each.is_file()), None)
    if path is None:
        ev.fail(node.arguments[1], f"no file {name} in {', '.join(map(str, folders))}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        ev.fail(node.arguments[1], f"{name} is no JSON: {error}")
    return _value(ev, found, wanted, node)


def _value(ev: Evaluator, found: Any, wanted: Type, node: syntax.Builtin) -> Value:
    if wanted == t.COMPTIME_STRUCT and isinstance(found, dict):  # keys are "name:type"
        fields = {}
        for key, each in found.items():
            name, _, kind = key.partition(":")
            fields[name] = _value(ev, each, _named(ev, kind.strip(), each, node), node)
        return Value(t.Struct(None, tuple(fields), tuple(each.type for each in fields.values())), fields)
    if isinstance(wanted, t.Struct) and isinstance(found, dict):
        given = {name: _value(ev, each, wanted.type_of(name) or t.COMPTIME_INT, node) for name, each in found.items()}
        return coerce(ev, Value(t.Struct(None, tuple(given), tuple(each.type for each in given.values())), given), wanted, node)
    if isinstance(wanted, t.Array) and isinstance(found, list):
        flat = found if len(wanted.extents) == 1 else _flat(found, len(wanted.extents))
        return array_of(ev, wanted, [_value(ev, each, wanted.element, node) for each in flat], node)
    kinds = {bool: t.BOOL, int: t.COMPTIME_INT, float: t.COMPTIME_FLOAT, str: t.STRING}
    if type(found) not in kinds:
        ev.fail(node, f"expected {wanted}, found {json.dumps(found)[:40]}")
    data = found.encode() if isinstance(found, str) else found
    if isinstance(found, int) and isinstance(wanted, (t.Float, t.ComptimeFloat)):
        return coerce(ev, Value(t.COMPTIME_FLOAT, float(found)), wanted, node)
    return coerce(ev, Value(kinds[type(found)], data), wanted, node)


def _flat(found: list[Any], depth: int) -> list[Any]:
    """Elements of nested lists, row by row."""
    if depth == 1:
        return found
    return [each for row in found for each in (_flat(row, depth - 1) if isinstance(row, list) else [row])]


def _named(ev: Evaluator, kind: str, found: Any, node: syntax.Builtin) -> Type:
    """The type that a key names; without a name, that of the value as it is written."""
    if kind:
        known = t.NAMED.get(kind) or ev.integer_type(kind)
        if known is None:
            ev.fail(node, f"'{kind}' is no type that a key can name")
        return known
    written = {bool: t.BOOL, int: t.COMPTIME_INT, float: t.COMPTIME_FLOAT, str: t.STRING, dict: t.COMPTIME_STRUCT}
    return written.get(type(found), t.COMPTIME_STRUCT)

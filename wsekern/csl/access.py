"""Which registers instructions of a frame read and write, and what they may do to memory."""

from collections.abc import Callable, Iterator
from typing import Any

from wsekern.csl.dsds import Dsr
from wsekern.csl.ir import Frame, Op
from wsekern.csl.operands import Operand
from wsekern.csl.values import Dsd, Reg, Value, leaves, with_leaves

PURE = {"scalar", "constant", "parameter", "convert", "load"}
"""Forms that do nothing but give a register a value."""
_SIMPLE = PURE | {"store", "branch"}
"""Forms whose registers are all fields of their own."""
LEAVES = {"jump", "end", "return", "tail"}
"""Forms behind which the next instruction is not reached."""
Rename = Callable[[Reg], Reg]


def written(op: Op) -> tuple[Reg, ...]:
    """Registers that an instruction writes; of a call, those of the result."""
    if op.form == "vector":
        done = op.fields.get("done")
        return (done,) if done is not None else ()
    if op.form == "call":
        return tuple(result_of(op.fields["target"]))
    found = op.fields.get("dst")
    return (found,) if found is not None else ()


def read(op: Op, frame: Frame) -> list[Reg]:
    """Registers that an instruction of a frame reads."""
    fields, found = op.fields, []
    if op.form in _SIMPLE:
        return [each for each in (fields.get("a"), fields.get("b"), fields.get("c")) if each is not None]
    if op.form in ("label", "mark", "jump", "end"):
        return found
    if op.form in ("call", "tail"):
        return list(fields["target"].parameters_read)
    if op.form == "return":
        return list(result_of(frame))
    for name in ("a", "b", "c", "times"):
        each = fields.get(name)
        if isinstance(each, Reg):
            found.append(each)
        elif isinstance(each, Value):
            found += registers_in(each)
    if op.form == "vector":
        for operand in fields["operands"]:
            found += registers_in(operand.value)
        if "index" in fields["options"]:
            found += registers_in(fields["options"]["index"])
    elif op.form in ("take_word", "give_word"):
        found += registers_in(fields["source" if op.form == "take_word" else "target"])
    return found


def registers_in(value: Value) -> Iterator[Reg]:
    """Registers that hold parts of a value."""
    if isinstance(value.data, Dsr):
        return
    for leaf in leaves(value):
        if isinstance(leaf.data, Reg):
            yield leaf.data
    if isinstance(value.data, Dsd):
        index = value.data.options.get("word_index")
        if index is not None and isinstance(index.data, Reg):
            yield index.data


def result_of(frame: Frame) -> Iterator[Reg]:
    """Registers of a function's result."""
    if frame.result is not None:
        for leaf in leaves(frame.result):
            if isinstance(leaf.data, Reg):
                yield leaf.data
                if leaf.type.bytes == 8:
                    yield Reg(leaf.data.frame, leaf.data.number + 1)


def renamed(op: Op, rename: Rename, rename_written: Rename | None = None) -> Op:
    """The same instruction on other registers."""
    changes: dict[str, Any] = {}
    if op.form in _SIMPLE:
        fields = dict(op.fields)
        for name in "abc":
            if fields.get(name) is not None:
                fields[name] = rename(fields[name])
        if "dst" in fields:
            fields["dst"] = (rename_written or rename)(fields["dst"])
        return Op(op.form, fields, op.span, op.title)
    for name, each in op.fields.items():
        if name in ("dst", "done"):
            if each is not None:
                changes[name] = (rename_written or rename)(each)
        elif isinstance(each, Reg):
            changes[name] = rename(each)
        elif isinstance(each, Value) and name in ("a", "source", "target"):
            changes[name] = renamed_value(each, rename)
        elif name == "operands":
            changes[name] = [Operand(renamed_value(operand.value, rename), operand.type) for operand in each]
        elif name == "options" and "index" in each:
            changes[name] = {**each, "index": renamed_value(each["index"], rename)}
    return Op(op.form, {**op.fields, **changes}, op.span, op.title)


def renamed_value(value: Value, rename: Rename) -> Value:
    """The same value in other registers."""
    if not any(True for _ in registers_in(value)):
        return value
    found = with_leaves(value, iter([Value(leaf.type, rename(leaf.data)) if isinstance(leaf.data, Reg) else leaf
                                     for leaf in leaves(value)]))
    data = found.data
    if isinstance(data, Dsd) and isinstance(getattr(data.options.get("word_index"), "data", None), Reg):
        index = data.options["word_index"]
        found = Value(found.type, data.with_fields(
            options={**data.options, "word_index": Value(index.type, rename(index.data))}))
    return found

"""DSRs in the linker: descriptors that a PE holds for itself, and what is loaded into them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from wsekern.csl import types as t
from wsekern.csl.dsds import Dsr
from wsekern.csl.ir import Frame, Op
from wsekern.csl.operands import OPERATIONS, Operand
from wsekern.csl.reaching import Load, Reaching
from wsekern.csl.source import Span
from wsekern.csl.values import Address, Dsd, Reg, Value, Varying
from wsekern.program.instructions import Label, Origin, Scalar
from wsekern.program.operands import TYPE_BYTES, Fabric, Mem, Mem4d, Named, Ring

MEMORY = "memory"
"""A symbol of no element at address 0: what pointers lead to is so many elements behind it."""


@dataclass(eq=False)
class DsrUse:
    """Loads of a DSR, and element types that operations take it for."""

    loads: list[Load] = field(default_factory=list)
    types: set[str] = field(default_factory=set)
    moves: bool = False
    """Whether its base is set by itself."""


def _holds(at: Address, size: int) -> bool:
    """Whether so many bytes of the symbol follow; where a DSR is also used for wider elements they may not, and the load that
    does so sets the base while the program runs."""
    return at.offset + size <= at.symbol.type.bytes


def _saves(options: dict[str, Value]) -> bool:
    """Whether uses of a DSR that was loaded so move its base."""
    return "save_address" in options and bool(options["save_address"].data)


def element_type(operand: Operand, name: str, data: Dsd, place: int) -> str:
    """What an operation takes the elements of a descriptor for: as its name says; in mixed ones, by their size."""
    _, precision, _ = OPERATIONS[name]
    if name in ("faddhs", "fmachs"):
        return "fp32" if place in (0, 1) else "fp16"
    if name == "fh2s":
        return "fp32" if place == 0 else "fp16"
    if name == "fs2h":
        return "fp16" if place == 0 else "fp32"
    if name in ("fh2xp16", "fs2xp16", "xp162fh", "xp162fs"):
        real = "fp16" if "h" in name else "fp32"
        return real if (place == 0) == name.startswith("xp") else "i16"
    return precision


class DsrLinker(ABC):
    """What the linker does with DSRs; :class:`wsekern.csl.link.Linker` has the rest."""

    unit: Any
    program: Any
    dsrs: dict[Dsr, DsrUse]
    reaching: Reaching
    first_kept: int
    chosen: dict[Dsr, Load]
    """What DSRs hold where that was asked while the program runs."""
    several: dict[Dsr, tuple[int, dict[Any, int]]]
    """Register of a DSR that says what was loaded last, as numbers of kinds."""
    frame: Frame | None
    op: Op
    """The instruction that is being linked."""
    span: Span | None = None
    """Where it comes from."""

    @abstractmethod
    def fail(self, message: str) -> None:
        """An error at the instruction that is being linked."""

    @abstractmethod
    def register(self, reg: Reg | int | None) -> int | None:
        """The core's number of a register."""

    def append(self, item: Any) -> None:
        """An instruction or label behind those that there are."""
        if self.span is not None and self.frame is not None and not isinstance(item, Label):
            origin = Origin(self.op.title or self.frame.title or self.frame.name, self.span.source.name, self.span.line)
            self.program.origins[len(self.program.code)] = origin
        self.program.code.append(item)

    @abstractmethod
    def queue_of(self, data: Dsd, out: bool) -> int:
        """The queue of a fabric DSD."""

    @abstractmethod
    def fabric(self, data: Dsd, kind: str, out: bool, extent: int) -> Fabric:
        """A descriptor of the fabric."""

    @abstractmethod
    def marks(self, data: Dsd, out: bool) -> dict[str, Any]:
        """What words that leave are marked with."""

    @abstractmethod
    def fifo(self, fifo: Any, kind: str, extent: int | None) -> Any:
        """A FIFO of the program."""

    @abstractmethod
    def _named(self, stated: Any) -> Named:
        """A descriptor of the PE's own."""

    @abstractmethod
    def keep(self) -> int:
        """A register that nothing else uses."""

    @abstractmethod
    def temporary(self, number: int) -> int:
        """A register that holds a number until the next instruction."""

    @abstractmethod
    def number_in(self, value: Value) -> int:
        """A register with a number that is known only at run time, or differs between PEs."""

    def find_loads(self, frames: list[Frame]) -> None:
        """What every DSR may hold, where, and which element types operations take it for."""
        self.reaching = Reaching(frames, self.unit.effects.loads)
        for dsr, value, options in self.unit.effects.loads:
            self.dsrs.setdefault(dsr, DsrUse()).loads.append((value, options))
        for frame in frames:
            for op in frame.ops:
                if op.form == "dsr_load":
                    self.dsrs.setdefault(op.fields["target"], DsrUse()).loads.append((op.fields["a"], op.fields["options"]))
                elif op.form == "dsr_base":
                    self.dsrs.setdefault(op.fields["target"], DsrUse()).moves = True
                elif op.form == "vector":
                    for k, operand in enumerate(op.fields["operands"]):
                        if isinstance(operand.value.data, Dsr):
                            use = self.dsrs.setdefault(operand.value.data, DsrUse())
                            use.types.add(element_type(operand, op.fields["name"], Dsd(""), k))

    def _on_dsr_load(self, fields: dict[str, Any]) -> None:
        """A DSD into a DSR while the program runs."""
        dsr, value = fields["target"], fields["a"]
        for kind in self.dsrs[dsr].types:
            named = self._dsr_name(dsr, value, kind, fields["options"])
            fixed, size = self._fixed(dsr, value, fields["options"]), TYPE_BYTES[kind]
            if "base" in fixed and not _holds(value.data.base.data, int(value.data.extent.data) * size):
                del fixed["base"]
            self._set_parts(named, value.data.with_fields(**fixed), size)
        if dsr in self.several:
            held, kinds = self.several[dsr]
            self.append(Scalar("constant", type="i32", dst=held, imm=kinds[self._kind(dsr, (value, fields["options"]))]))

    def _fixed(self, dsr: Dsr, value: Value, options: dict[str, Value]) -> dict[str, None]:
        """Parts of what is loaded that every load of that kind has in common: the program states them."""
        name, parts = self._dsr_name(dsr, value, "", options, False), {}
        alike = [load.data for load, given in self.dsrs[dsr].loads if self._dsr_name(dsr, load, "", given, False) == name]
        stays = len(alike) == len(self.dsrs[dsr].loads) and not self.dsrs[dsr].moves and not _saves(options)
        for part in ("extent", "stride", "base") if stays else ("extent", "stride"):
            held = {getattr(getattr(each, part), "data", None) for each in alike}
            if len(held) == 1 and isinstance(next(iter(held)), (int, Address)):
                parts[part] = None
        if "extent" not in parts:
            parts.pop("base", None)
        return parts

    def _set_parts(self, name: str, data: Dsd, size: int) -> None:
        if data.base is not None:
            if isinstance(data.base.data, Address):
                self.append(Scalar("set_base", imm=data.base.data.offset, target=name, source=data.base.data.symbol.name))
            else:
                self._base_from(name, data.base, size)
        for part, form in (("extent", "set_extent"), ("stride", "set_stride")):
            value = getattr(data, part)
            if value is not None and data.kind != "mem4d_dsd":
                self.append(Scalar(form, a=self._number_of(value), target=name))

    def _base_from(self, name: str, base: Value, size: int) -> None:
        if not isinstance(base.type, t.Pointer):
            self.append(Scalar("set_base", a=self.register(base.data), target=name, source=MEMORY))
            return
        shift, index = self.temporary(size.bit_length() - 1), self.first_kept - 2
        self.append(Scalar("scalar", op="shr", type="u32", dst=index, a=self.register(base.data), b=shift))
        self.append(Scalar("set_base", a=index, target=name, source=MEMORY))

    def _number_of(self, value: Value) -> int:
        """A register with a number, known or not."""
        return self.number_in(value) if isinstance(value.data, (Reg, Varying)) else self.temporary(int(value.data))

    def loads_of(self, dsr: Dsr) -> list[Load]:
        """What a DSR may hold at the instruction that is being linked; where no load reaches it, any that there is."""
        use = self.dsrs.get(dsr)
        if use is None or not use.loads:
            self.fail(f"{dsr.kind} {dsr.number} holds no descriptor: load one with @load_to_dsr first")
            return []
        return self.reaching.of(self.op, dsr) or use.loads

    def kinds_of(self, dsr: Dsr) -> dict[Any, Load]:
        """Of what a DSR may hold at the instruction that is being linked, one load of each kind: shape, queue, marks, tasks."""
        if dsr in self.chosen:
            return {"": self.chosen[dsr]}
        return {self._kind(dsr, load): load for load in self.loads_of(dsr)}

    def load_of(self, dsr: Dsr) -> Load:
        """What a DSR holds there, which is of one kind."""
        return next(iter(self.kinds_of(dsr).values()))

    def _kind(self, dsr: Dsr, load: Load) -> tuple[Any, ...]:
        value, options = load
        tasks = [(name, each if isinstance(each := options[name].data, int) else id(each))
                 for name in ("async", "activate", "unblock") if name in options]
        return self._dsr_name(dsr, value, "", options, False), *tasks

    def find_several(self, frames: list[Frame]) -> None:
        """DSRs that may hold descriptors of several kinds at one operation: a register says which one was loaded last."""
        for frame in frames:
            for op in frame.ops:
                if op.form != "vector":
                    continue
                self.op, self.span = op, op.span or self.span
                for operand in op.fields["operands"]:
                    dsr = operand.value.data
                    if isinstance(dsr, Dsr) and dsr not in self.several and len(self.kinds_of(dsr)) > 1:
                        kinds = dict.fromkeys(self._kind(dsr, load) for load in self.dsrs[dsr].loads)
                        self.several[dsr] = self.keep(), {kind: k for k, kind in enumerate(kinds)}

    def combinations(self, operands: list[Operand]) -> list[dict[Dsr, Load]]:
        """What the DSRs of an operation that may hold several kinds may hold, together."""
        several = {each.value.data: self.kinds_of(each.value.data) for each in operands if isinstance(each.value.data, Dsr)}
        several = {dsr: kinds for dsr, kinds in several.items() if len(kinds) > 1}
        return [dict(zip(several, loads, strict=True)) for loads in product(*(kinds.values() for kinds in several.values()))]

    def unless_held(self, combination: dict[Dsr, Load], label: str) -> None:
        """Go on at ``label`` where DSRs hold something else than these."""
        for dsr, load in combination.items():
            held, kinds = self.several[dsr]
            number, same = self.temporary(kinds[self._kind(dsr, load)]), self.first_kept - 2
            self.append(Scalar("scalar", op="eq", type="i32", dst=same, a=held, b=number))
            self.append(Scalar("branch", a=same, target=label))

    def _on_dsr_base(self, fields: dict[str, Any]) -> None:
        dsr, pointer = fields["target"], fields["a"]
        for value, options in self.kinds_of(dsr).values():
            for kind in self.dsrs[dsr].types:
                name = self._dsr_name(dsr, value, kind, options)
                data = value.data.with_fields(base=pointer, extent=None, stride=None)
                self._set_parts(name, data, TYPE_BYTES[kind])

    def _dsr_name(self, dsr: Dsr, value: Value, kind: str, options: dict[str, Value], stated: bool = True) -> str:
        """The descriptor that stands for a DSR while it holds one of this shape, with these marks on words that leave, and that
        moves on or does not; the program has it then, unless not ``stated``."""
        data = value.data
        out = value.type == t.FABOUT
        place: Any = self.queue_of(data, out) if data.base is None and data.fifo is None else data.kind
        if data.kind == "mem4d_dsd":
            place = "_".join(map(str, (data.kind, *data.shape, *data.strides))).replace("-", "m")
        marked = "".join(f"_{mark}" if held is True else f"_{mark}{held}" for mark, held in (
            self.marks(data, out).items() if data.base is None and data.fifo is None else ()))
        name = f"{dsr.kind}{dsr.number}_{place}_{kind}_{out:d}{marked}{'_saves' if _saves(options) else ''}"
        if stated and name not in self.program.descriptors:
            self.program.descriptors[name] = self._stated(data, kind, out, options)
        return name

    def _stated(self, data: Dsd, kind: str, out: bool, options: dict[str, Value]) -> Any:
        extent = int(data.extent.data) if data.extent is not None and isinstance(data.extent.data, int) else 0
        if data.fifo is not None:
            return self.fifo(data.fifo, kind, None)
        if data.base is None:
            return self.fabric(data, kind, out, extent)
        known = isinstance(data.base.data, Address) and _holds(data.base.data, extent * TYPE_BYTES[kind])
        symbol = data.base.data.symbol.name if known else MEMORY
        offset = data.base.data.offset // TYPE_BYTES[kind] if known else 0
        if data.kind == "mem4d_dsd":
            return Mem4d(symbol, data.shape, data.strides, offset, kind)
        if data.kind == "circbuf_dsd":
            return self.ring(data, extent)
        stride = int(data.stride.data) if data.stride is not None and isinstance(data.stride.data, int) else 1
        return Mem(symbol, extent, offset, stride, save=_saves(options), type=kind)

    def ring(self, data: Dsd, extent: int) -> Ring:
        """A circular buffer, which is all of an array."""
        base = data.base.data if data.base is not None else None
        if not isinstance(base, Address) or base.offset or data.shape[0] * data.element != base.symbol.type.bytes:
            self.fail("a circular buffer is all of an array: a base address inside one or known only at run time, and another "
                      "wrap-around than its end, are not supported")
        return Ring(base.symbol.name, extent)

    def _dsr(self, dsr: Dsr, operand: Operand, name: str, place: int, index: Value | None) -> Any:
        """The descriptor of a DSR; with an ``index`` of the operation, where what was loaded takes one, a copy with it."""
        value, options = self.load_of(dsr)
        kind = element_type(operand, name, Dsd(""), place)
        held = self._dsr_name(dsr, value, kind, options)
        takes = value.data.options.get("wavelet_index_offset") if index is not None else None
        if index is None or takes is None or not takes.data:
            return Named(held)
        stated = self.program.descriptors[held]
        if isinstance(stated, Fabric):
            stated = replace(stated, index=0, same_index=True, packing=1)
            by = self._index(index)
        else:
            by = self._words(index, TYPE_BYTES[kind])
        copy = self._named(replace(stated, save=False) if isinstance(stated, Mem) else stated)
        self.append(Scalar("load_descriptor", target=copy.name, source=held))
        self.append(Scalar("set_base" if isinstance(stated, Fabric) else "move_base", a=by, target=copy.name))
        return copy

    def _index(self, index: Value) -> int:
        """A register with an index."""
        return self.temporary(index.data) if isinstance(index.data, int) else self.number_in(index)

    def _words(self, index: Value, size: int) -> int:
        """A register with an index in words of 16 bits, as elements of ``size`` bytes."""
        if isinstance(index.data, int):
            return self.temporary(index.data * 2 // size)
        held = self.number_in(index)
        if size == 2:
            return held
        half = self.first_kept - 2
        self.append(Scalar("scalar", op="mov", type="i32", dst=half, a=held))
        self.append(Scalar("scalar", op="shr", type="i32", dst=half, a=half, b=self.temporary(1)))
        return half

    def _dsr_options(self, operands: list[Operand], options: dict[str, Any]) -> dict[str, Any]:
        """Options of an operation, with those that its DSRs were loaded with."""
        found = dict(options)
        for operand in operands:
            if not isinstance(operand.value.data, Dsr):
                continue
            _, given = self.load_of(operand.value.data)
            if "async" in given and given["async"].data:
                found["async"] = True
            for name in ("activate", "unblock"):
                if name in given:
                    found[name] = given[name]
            if "ut_id" in given and "ut_id" not in options:
                found["ut_id"] = self.number(given["ut_id"])
        return found

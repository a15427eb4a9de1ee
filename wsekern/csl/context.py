"""What conversions, places and operands ask of the evaluator that works on them."""

from abc import ABC, abstractmethod
from typing import Any, NoReturn

from wsekern.csl import syntax
from wsekern.csl import types as t
from wsekern.csl.emit import Emitter
from wsekern.csl.ir import Frame
from wsekern.csl.scope import Scope
from wsekern.csl.source import Note, Span
from wsekern.csl.types import Type
from wsekern.csl.values import Memory, Split, Value, Varying, split_of


class Context(ABC):
    """An evaluator: its scope, and the frame that code goes to, where there is one."""

    unit: Any
    scope: Scope
    emit: Emitter
    frame: Frame

    @property
    @abstractmethod
    def runtime(self) -> bool:
        """Whether code of a PE is being written."""

    @abstractmethod
    def fail(self, node: syntax.Node | Span, message: str, *notes: Note) -> NoReturn:
        """Stop with an error at a node."""

    @abstractmethod
    def warn(self, node: syntax.Node, message: str, *notes: Note) -> None:
        """Say that something is doubtful, and go on."""

    @abstractmethod
    def evaluate(self, node: syntax.Node, wanted: Type | None = None) -> Value:
        """The value of an expression, as ``wanted`` where that is given."""

    @abstractmethod
    def known_int(self, value: Value, node: syntax.Node) -> int:
        """A whole number that is the same on all PEs of the program."""

    @abstractmethod
    def known_int_or_none(self, value: Value) -> int | None:
        """The same, None where it is not known or differs."""

    @abstractmethod
    def memory_at(self, pointer: Value, node: syntax.Node) -> Memory:
        """Where a pointer points."""

    @abstractmethod
    def array_in_memory(self, kind: t.Array, elements: list[Value]) -> Value:
        """A new array of the function, of elements that are known only at run time."""

    @abstractmethod
    def copy_array(self, target: Memory, value: Value, node: syntax.Node) -> None:
        """A whole array to memory."""

    @staticmethod
    def split(varying: Varying) -> Split:
        """To raise where a number that differs between PEs must be one."""
        return Split(split_of(varying))

    def copied(self, value: Value) -> Value:
        """A scalar in a register of its own."""
        register = self.frame.new_for(value.type)
        self.emit.set(register, value)
        return Value(value.type, register)

    def as_word(self, value: Value) -> Value:
        """A part of a DSD as a 32-bit number: sign-extended, so that instructions can take it."""
        if isinstance(value.type, t.Pointer):
            return value
        if value.known:
            return Value(t.I32, value.data)
        return Value(t.I32, self.emit.convert(value, t.I32))

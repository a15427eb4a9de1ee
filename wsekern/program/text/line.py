"""The tokens of a line of a program's text, read from left to right."""

import json
import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from wsekern.errors import InputError
from wsekern.program.instructions import MAX_REGISTERS
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.text.grammar import REGISTER, RESERVED

_TOKEN = re.compile(r"""(?P<space>\s+|;.*$)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<punctuation>->|[\[\](),=:@*.])|(?P<number>[-+]?(?:
    0x[0-9a-fA-F]+|inf\b|nan\b|[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?)(?![A-Za-z_]))|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<dash>-)""",
                    re.VERBOSE)
INT32 = (-(1 << 31), (1 << 31) - 1)


class Token(NamedTuple):
    """A piece of a line: its kind (string, number, word, punctuation, dash, end), its text, and its column, from 1 on."""

    kind: str
    text: str
    column: int


class Line:
    """The tokens of one line, read from left to right."""

    def __init__(self, text: str, number: int, origin: str) -> None:
        self.number, self.origin, self.at = number, origin, 0
        self.tokens: list[Token] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                self.fail("a name, a number, a quoted name or punctuation", Token("character", text[at], at + 1))
            if found.lastgroup != "space":
                self.tokens.append(Token(found.lastgroup, found.group(), at + 1))
            at = found.end()
        self.tokens.append(Token("end", "", len(text) + 1))

    @property
    def next(self) -> Token:
        """The token that comes next."""
        return self.tokens[self.at]

    def fail(self, expected: str, token: Token | None = None) -> NoReturn:
        """Refuse a token, by default the next one."""
        token = token or self.next
        found = "the end of the line" if token.kind == "end" else repr(token.text[:40])
        raise InputError(f"{self.place(token)}: expected {expected}, found {found}")

    def place(self, token: Token) -> str:
        """Where a token stands."""
        return f"{self.origin}, line {self.number}, column {token.column}"

    def take(self) -> Token:
        """The next token, and on to the one behind it."""
        token = self.next
        self.at += token.kind != "end"
        return token

    def has(self, *texts: str) -> bool:
        """Take the next tokens where they are these."""
        if self.tokens[self.at].text != texts[0]:
            return False
        here = self.tokens[self.at:self.at + len(texts)]
        found = [token.text for token in here if token.kind not in ("string", "end")] == list(texts)
        self.at += len(texts) if found else 0
        return found

    def need(self, text: str) -> None:
        """Take the next token, which must be this."""
        if not self.has(text):
            self.fail(repr(text))

    def end(self) -> None:
        """Refuse anything more."""
        if self.next.kind != "end":
            self.fail("the end of the line")

    def one_of(self, what: str, words: Iterable[str]) -> str:
        """One of some words."""
        words = list(words)
        if self.next.kind != "word" or self.next.text not in words:
            self.fail(f"{what}: {', '.join(words)}")
        return self.take().text

    def name(self, what: str) -> str:
        """A name, plain or in quotes; ``task NAME`` is one."""
        if self.next.kind == "string":
            try:
                return json.loads(self.take().text)
            except ValueError:
                self.at -= 1
                self.fail(f"{what} in quotes, as JSON writes strings")
        prefix = "task " if self.has("task") else ""
        if self.next.kind != "word" or self.next.text in RESERVED or REGISTER.fullmatch(self.next.text):
            self.fail(what)
        return prefix + self.take().text

    def integer(self, what: str, low: int = INT32[0], high: int = INT32[1]) -> int:
        """A whole number from ``low`` to ``high``."""
        token = self.next
        whole = token.kind == "number" and re.fullmatch(r"[-+]?[0-9]{1,12}", token.text)
        if not whole or not low <= int(token.text) <= high:
            self.fail(f"{what}, a whole number from {low} to {high}")
        return int(self.take().text)

    def register(self) -> int:
        """A register."""
        token = self.next
        if token.kind != "word" or not REGISTER.fullmatch(token.text) or int(token.text[1:]) >= MAX_REGISTERS:
            self.fail(f"a register, r0 to r{MAX_REGISTERS - 1}")
        return int(self.take().text[1:])

    def type(self) -> str:
        """An element type."""
        return self.one_of("an element type", TYPE_BYTES)

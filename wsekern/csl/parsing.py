"""What every part of the parser does with tokens: look, expect, and say what was expected instead."""

from collections.abc import Callable
from typing import NoReturn, TypeVar

from wsekern.csl.lexer import Token, tokens_of
from wsekern.csl.source import CslError, Diagnostic, Diagnostics, Note, Source, Span

KEYWORDS = frozenset((
    "and", "break", "comptime", "const", "continue", "else", "enum", "export", "extern", "false", "fn", "for", "if", "inline",
    "or", "packed", "param", "return", "struct", "switch", "task", "true", "undefined", "union", "var",
    "while"))
"""Words that are never names; names of types are names, and ``layout`` and ``color`` mean more only where they begin a
declaration."""

MAX_DEPTH = 64
"""Brackets, blocks and operators inside each other; public programs have 12."""

T = TypeVar("T")


class Tokens:
    """The tokens of a source and the one that comes next."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source, self.diagnostics = source, diagnostics
        self.tokens = tokens_of(source)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        """The coming one."""
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        """The token ``count`` after the coming one, or the last."""
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def span(self, start: Token | Span) -> Span:
        """From ``start`` to the token before the coming one."""
        end = self.tokens[self.at - 1].end if self.at else 0
        return Span(self.source, start.start, max(end, start.start))

    def next(self) -> Token:
        """Take the coming token."""
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def sees(self, text: str) -> bool:
        """Whether this mark or word comes next."""
        token = self.tokens[self.at]
        return token.text == text and token.kind in ("mark", "name")

    def takes(self, text: str) -> bool:
        """Take this mark or word where it comes next."""
        if self.sees(text):
            self.at += 1
            return True
        return False

    def expect(self, text: str, why: str, *notes: Note) -> Token:
        """Take this mark or word; an error says ``why`` it was expected."""
        if not self.sees(text):
            self.fail(f"expected '{text}' {why}, found {self.shown()}", *notes)
        return self.next()

    def name(self, what: str) -> str:
        """Take an identifier that is no keyword."""
        token = self.token
        if token.kind != "name" or token.text in KEYWORDS:
            found = f"the keyword '{token.text}'" if token.text in KEYWORDS else self.shown()
            self.fail(f"expected the name of {what}, found {found}")
        return self.next().text

    def shown(self) -> str:
        """The coming token, for messages."""
        token = self.token
        return "the end of the file" if token.kind == "end" else f"'{token.text}'"

    def fail(self, message: str, *notes: Note, token: Token | None = None) -> NoReturn:
        """Raise :class:`CslError` at ``token``, else the coming one."""
        at = token or self.token
        raise CslError([Diagnostic(message, Span(self.source, at.start, max(at.end, at.start + 1)), "error", notes)])

    def listed(self, end: str, item: Callable[[], T], what: str) -> tuple[T, ...]:
        """Items with commas between, and perhaps behind, up to ``end``, which is taken."""
        found: list[T] = []
        while not self.takes(end):
            found.append(item())
            if not self.takes(","):
                self.expect(end, f"or ',' after {what}")
                break
        return tuple(found)

    def enter(self) -> None:
        """One level deeper, up to a depth that no program has."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} brackets, blocks and operators inside each other")

    def nested(self, parse: Callable[[], T]) -> T:
        """``parse`` one level deeper; after an error the caller that goes on resets the depth."""
        self.enter()
        found = parse()
        self.depth -= 1
        return found

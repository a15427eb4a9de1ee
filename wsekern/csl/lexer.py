"""CSL source to tokens."""

import re
from typing import NamedTuple

from wsekern.csl.source import CslError, Diagnostic, Source, Span


class Token(NamedTuple):
    """``kind``: name, builtin, int, float, string, char, mark (an operator or bracket) or end; ``text`` as it is written."""

    kind: str
    text: str
    start: int
    end: int


MARKS = ("<<=", ">>=", ".{", ".*", "=>", "->", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==", "!=", "<=", ">=", "<<",
         ">>", *"+-*/%&|^~!<>=.,:;()[]{}")
"""Operators and brackets, longest first."""

_TOKEN = re.compile(
    r"(?P<space>(?:[ \t\r\n]+|//[^\n]*)+)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<builtin>@[A-Za-z_]\w*)"
    r"|(?P<float>\d[\d_]*(?:\.\d[\d_]*(?:[eE][+-]?\d[\d_]*)?|[eE][+-]?\d[\d_]*))"
    r"|(?P<int>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<char>'(?:[^'\\\n]|\\.[0-9a-fA-F]{0,2})')"
    r"|(?P<mark>" + "|".join(re.escape(mark) for mark in MARKS) + ")",
    re.ASCII,
)

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\", '"': b'"', "'": b"'", "0": b"\0"}


def tokens_of(source: Source) -> list[Token]:
    """All tokens of ``source`` and one of kind ``end``; :class:`CslError` names the first character that begins none."""
    found: list[Token] = []
    text, at, match = source.text, 0, _TOKEN.match
    while at < len(text):
        token = match(text, at)
        if token is None:
            raise CslError([Diagnostic(_unknown(text, at), Span(source, at, at + 1))])
        kind = token.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, token.group(), at, token.end()))
        at = token.end()
    found.append(Token("end", "", len(text), len(text)))
    return found


def _unknown(text: str, at: int) -> str:
    character = text[at]
    if character == '"':
        return "this string does not end on its line"
    if character == "'":
        return "this is no character: expected one between two apostrophes, such as 'a' or '\\n'"
    if character == "@":
        return "a builtin's name follows @, such as @as"
    return f"the character {character!r} begins nothing in CSL"


def bytes_of(token: Token, source: Source) -> bytes:
    """What a string or character literal holds, its escapes resolved."""
    body, held, at = token.text[1:-1], b"", 0
    for match in _ESCAPE.finditer(body):
        held += body[at : match.start()].encode()
        at = match.end()
        if match[1]:
            held += bytes([int(match[1], 16)])
        elif match[2] in _ESCAPES:
            held += _ESCAPES[match[2]]
        else:
            start = token.start + 1 + match.start()
            raise CslError([Diagnostic(f"unknown escape \\{match[2]}: expected \\n, \\t, \\\\, \\\" or \\x and two hex digits",
                                       Span(source, start, start + 2))])
    return held + body[at:].encode()

"""Tokens, trees, and what is said about text that is not CSL."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.csl import syntax
from wsekern.csl.lexer import bytes_of, tokens_of
from wsekern.csl.parser import parse
from wsekern.csl.source import CslError, Source

WORDS = ["fn", "f", "(", ")", "{", "}", "if", "else", "while", "1", "x", "=", ";", ".{", "|", "->", "[", "]", "const", ":",
         "i16", "@as", ",", "switch", "=>", "layout", "param", "struct", "for"]


def errors(text):
    with pytest.raises(CslError) as caught:
        parse(Source("a.csl", text))
    return [(each.span.source.place(each.span.start)[0], each.message) for each in caught.value.diagnostics]


def test_numbers_and_strings_are_read_as_they_are_written():
    source = Source("a", r'''0x1F 0b101 1_000 1.5 2e3 1.0e-2 'a' '\n' "a\x41\n"''')
    tokens = tokens_of(source)
    assert [token.kind for token in tokens] == ["int", "int", "int", "float", "float", "float", "char", "char", "string", "end"]
    assert bytes_of(tokens[-2], source) == b"aA\n" and bytes_of(tokens[-3], source) == b"\n"


@pytest.mark.parametrize(("text", "shape"), [
    ("1 + 2 * 3", "(1 + (2 * 3))"), ("1 * 2 + 3", "((1 * 2) + 3)"), ("1 - 2 - 3", "((1 - 2) - 3)"),
    ("a or b and c", "(a or (b and c))"),
    ("a + 1 < b", "((a + 1) < b)"), ("a & b | c", "((a & b) | c)"), ("a << 1 + b", "(a << (1 + b))"), ("-a * b", "(-a * b)"),
    ("a == b and !c", "((a == b) and !c)"),
])
def test_operators_bind_as_tightly_as_the_grammar_says(text, shape):
    def shown(node):
        if isinstance(node, syntax.Binary):
            return f"({shown(node.left)} {node.operator} {shown(node.right)})"
        if isinstance(node, syntax.Unary):
            return f"{node.operator}{shown(node.operand)}"
        return node.name if isinstance(node, syntax.Name) else str(node.value)

    file = parse(Source("a", f"const x = {text};"))
    assert shown(file.declarations[0].value) == shape


@pytest.mark.parametrize(("text", "line", "said"), [
    ("const a = 1", 1, "expected ';' after the declaration of 'a'"),
    ("const a = ;", 1, "expected a value, found ';'"),
    ("var 3: i16;", 1, "expected the name of a variable, found '3'"),
    ("fn f() void {\n  return 1\n}", 2, "expected ';' after 'return', found '}'"),
    ("fn f() void {\n", 2, "the block that begins in line 1 does not end"),
    ("const a = 12ab;", 1, "'12ab' is neither a number nor a name"),
    ("const s = \"abc;", 1, "this string does not end on its line"),
    ("const s = \"\\q\";", 1, "unknown escape \\q"),
    ("const a = $;", 1, "the character '$' begins nothing in CSL"),
    ("const a = 1 < 2 < 3;", 1, "comparisons cannot follow each other"),
    ("var a: [2][3]f32;", 1, "the extents of an array stand in one bracket"),
    ("const d = .{ .a = 1, 2 };", 1, "either all elements have names"),
    ("const d = .{ .a = 1, .a = 2 };", 1, "the field 'a' is given twice"),
    ("const T = struct { a: i16, a: i16 };", 1, "the field 'a' is declared twice"),
    ("fn f() void { for (@range(i16, 3)) { } }", 1, "before the name of the element"),
    ("fn f() void { asm volatile (1); }", 1, "assembly is not supported"),
    ("const x = |i, j|{3} -> A[i];", 1, "2 indices need as many extents"),
    ("const a;", 1, "'a' needs a value"),
    ("hello;", 1, "expected a declaration"),
])
def test_errors_say_the_line_and_what_was_expected(text, line, said):
    found = errors(text)
    assert any(at == line and said in message for at, message in found), found


def test_one_run_finds_several_errors():
    text = "const a = ;\nfn f() void {\n  x = ;\n  y = 1;\n  z = );\n}\nvar b: [2]f32\nfn g() void {}\n"
    assert [line for line, _ in errors(text)] == [1, 3, 5, 7]


def test_an_error_shows_its_line_with_a_caret():
    with pytest.raises(CslError) as caught:
        parse(Source("a.csl", "\nvar b = );"))
    assert str(caught.value) == "a.csl:2:9: error: expected a value, found ')'\n    var b = );\n            ^"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abc01 ;(){}[]|=+-*&.,:@\"'\n<>!", max_size=60)
       | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_any_text_is_a_tree_or_errors(text):
    try:
        parse(Source("a", text))
    except CslError as error:
        assert error.diagnostics


def test_nesting_without_end_is_refused():
    assert any("inside each other" in message for _, message in errors(f"const a = {'(' * 5000}1;"))

"""CSL source to a syntax tree: statements and declarations. After an error it goes on at the next statement, to find more."""

from collections.abc import Callable

from wsekern.csl import syntax
from wsekern.csl.expressions import ASSIGNMENTS, Expressions
from wsekern.csl.lexer import Token
from wsekern.csl.source import MAX_ERRORS, CslError, Diagnostics, Source

ATTRIBUTES = ("align", "linkname", "linksection")
"""Syntax errors of a file that are told; more of them say nothing new."""


def parse(source: Source, diagnostics: Diagnostics | None = None) -> syntax.File:
    """The tree of a file.

    Raises :class:`CslError` with every syntax error where the caller gives no ``diagnostics`` to hold them; else the tree has
    what could be read.
    """
    kept = Diagnostics() if diagnostics is None else diagnostics
    try:
        file = Parser(source, kept).file()
    except CslError as error:  # a character that begins nothing: there are no tokens behind it
        kept.found += error.diagnostics
        file = syntax.File(syntax.Span(source, 0, 0), ())
    if diagnostics is None:
        kept.check()
    return file


BEGINS = ("const", "var", "fn", "task", "param", "export", "extern", "return", "while", "for", "layout", "break", "continue")
"""Words that begin a statement or declaration, and stand nowhere else outside brackets."""


class Parser(Expressions):
    """One file."""

    def file(self) -> syntax.File:
        """All declarations."""
        start, found = self.token, []
        while self.token.kind != "end":
            declaration = self._recovering(self._declaration)
            if declaration is not None:
                found.append(declaration)
        return syntax.File(self.span(start), tuple(found))

    def _recovering(self, parse: Callable[[], syntax.Node | None]) -> syntax.Node | None:
        """What ``parse`` gives; None after an error, when the coming token begins another statement."""
        at, depth = self.at, self.depth
        try:
            return parse()
        except CslError as error:
            self.diagnostics.found += error.diagnostics
            if len(self.diagnostics.errors) >= MAX_ERRORS:
                self.at = len(self.tokens) - 1
            self.depth = depth
            self._skip(at)
            return None

    def _skip(self, start: int) -> None:
        """Past the statement that began at token ``start``: behind its ';' or its block, before the block's end that it
        stands in, or where the error is that another one begins before its ';'."""
        error, level = self.at, 0
        self.at = start
        while self.token.kind != "end":
            if self.at == error > start and level == 0 and self.token.text in BEGINS and self.token.kind == "name":
                return
            token = self.next()
            if token.kind != "mark":
                continue
            if token.text in ("{", ".{", "(", "["):
                level += 1
            elif token.text in ("}", ")", "]"):
                level -= 1
                if level < 0 and token.text == "}" and self.at > start + 1:
                    self.at -= 1
                    return
                if level <= 0 and token.text == "}" and self.at > error and not self.sees("else"):
                    self.takes(";")
                    return
            elif token.text == ";" and level <= 0 and self.at > error:
                return

    # ---- Declarations ----

    def _declaration(self) -> syntax.Node:
        start = self.token
        if self.takes("param"):
            return self._param(start)
        if self.sees("comptime") and self.ahead().text == "{":
            self.next()
            return self._after_block(self.block(comptime=True))
        if self.sees("layout") and self.ahead().text == "{":
            self.next()
            body = self._after_block(self.block(comptime=True))
            return syntax.Layout(self.span(start), body)
        if self.sees("color") and self.ahead().kind == "name":
            return self._colors()
        return self._stored(start)

    def _stored(self, start: Token) -> syntax.Node:
        """A variable or function with its storage class."""
        storage = ""
        if start.kind == "name" and start.text in ("export", "extern", "inline"):
            storage = self.next().text
        if self.sees("fn") or self.sees("task"):
            return self._function(start, storage)
        if self.sees("const") or self.sees("var"):
            if storage == "inline":
                self.fail("only functions are inline")
            return self._variable(start, storage)
        self.fail("expected a declaration (param, const, var, fn, task, comptime or layout), found " + self.shown())

    def _after_block(self, block: syntax.Block) -> syntax.Block:
        self.takes(";")
        return block

    def _param(self, start: Token) -> syntax.Param:
        name = self.name("a parameter")
        type_ = self.type() if self.takes(":") else None
        value = self.argument() if self.takes("=") else None
        self._end(f"after the parameter '{name}'")
        return syntax.Param(self.span(start), name, type_, value)

    def _colors(self) -> syntax.Colors:
        start = self.next()
        names = [self.name("a color")]
        while self.takes(","):
            names.append(self.name("a color"))
        value = self.expression() if self.takes("=") else None
        self._end("after the color")
        return syntax.Colors(self.span(start), tuple(names), value)

    def _variable(self, start: Token, storage: str = "", comptime: bool = False) -> syntax.Variable:
        kind = self.next().text
        name = self.name(f"a {'constant' if kind == 'const' else 'variable'}")
        type_ = self.type() if self.takes(":") else None
        attributes = self._attributes()
        value = self.argument() if self.takes("=") else None
        self._end(f"after the declaration of '{name}'")
        span = self.span(start)
        if value is None and storage != "extern" and (kind == "const" or type_ is None):
            missing = "a value" if kind == "const" else "a type or a value"
            self.diagnostics.error(f"'{name}' needs {missing}", span)
        return syntax.Variable(span, "const" if kind == "const" else "var", name, type_, value, storage, comptime, attributes)

    def _attributes(self) -> tuple[syntax.Attribute, ...]:
        found: list[syntax.Attribute] = []
        while self.token.kind == "name" and self.token.text in ATTRIBUTES and self.ahead().text == "(":
            start = self.next()
            self.next()
            value = self.expression()
            self.expect(")", f"after the value of '{start.text}'")
            found.append(syntax.Attribute(self.span(start), start.text, value))
        return tuple(found)

    def _function(self, start: Token, storage: str) -> syntax.Function:
        kind = self.next().text
        name = self.name(f"a {'function' if kind == 'fn' else 'task'}")
        self.expect("(", f"before the parameters of '{name}'")
        parameters = self.listed(")", self._parameter, "a parameter")
        attributes = self._attributes()
        result = self.type()
        attributes += self._attributes()
        body = None
        if not self.takes(";"):
            if not self.sees("{"):
                self.fail(f"expected '{{' before the body of '{name}', found {self.shown()}")
            body = self.block()
        return syntax.Function(self.span(start), "fn" if kind == "fn" else "task", name, parameters, result, body, storage,
                               attributes)

    def _parameter(self) -> syntax.Parameter:
        start = self.token
        comptime = self.takes("comptime")
        name = ""
        if self.ahead().text == ":" and self.token.kind == "name":
            name = self.name("a parameter")
            self.next()
        type_ = self.type()
        return syntax.Parameter(self.span(start), name, type_, comptime)

    # ---- Statements ----

    def _end(self, why: str) -> None:
        if self.takes(";"):
            return
        before = self.tokens[self.at - 1]  # point behind it: the line with the next token may be far away
        self.fail(f"expected ';' {why}, found {self.shown()}", token=Token("end", "", before.end, before.end))

    def block(self, label: str = "", comptime: bool = False) -> syntax.Block:
        """``{...}``."""
        self.enter()
        found = self._block(label, comptime)
        self.depth -= 1
        return found

    def _block(self, label: str, comptime: bool) -> syntax.Block:
        start = self.expect("{", "before a block")
        found: list[syntax.Node] = []
        while not self.takes("}"):
            if self.token.kind == "end":
                line, _ = self.source.place(start.start)
                self.fail(f"the block that begins in line {line} does not end: a '}}' is missing")
            statement = self._recovering(self._statement)
            if statement is not None:
                found.append(statement)
        return syntax.Block(self.span(start), tuple(found), label, comptime)

    def _statement(self) -> syntax.Node | None:
        start = self.token
        if self.takes(";"):
            return None
        if start.kind == "name":
            if start.text in ("const", "var", "extern", "export"):
                return self._stored(start)
            if start.text == "comptime" and self.ahead().text in ("var", "const"):
                self.next()
                return self._variable(start, comptime=True)
            if start.text == "comptime" and self.ahead().text == "{":
                self.next()
                return self._after_block(self.block(comptime=True))
            if start.text in ("return", "break", "continue"):
                return self._jump(start)
            if self.ahead().text == ":" and self.ahead(2).text in ("while", "for", "inline", "{", "switch"):
                label = self.name("a label")
                self.next()
                return self._controlled(label)
            if start.text in ("if", "while", "for", "inline", "switch"):
                return self._controlled("")
        if self.sees("{"):
            return self.block()
        return self._simple(semicolon=True)

    def _controlled(self, label: str) -> syntax.Node:
        start = self.token
        if start.text == "{":
            return self.block(label)
        if start.text == "if":
            return self._if()
        if start.text == "switch":
            found = self.switch(label)
            self.takes(";")
            return found
        inline = self.takes("inline")
        if self.sees("while"):
            return self._while(start, label, inline)
        if self.sees("for"):
            return self._for(start, label, inline)
        self.fail(f"expected 'while' or 'for' after 'inline', found {self.shown()}")

    def _branch(self) -> syntax.Node:
        """A block, or one statement without braces."""
        statement = self.nested(self._statement)
        return statement if statement is not None else syntax.Block(self.span(self.token), ())

    def _if(self) -> syntax.If:
        start = self.next()
        self.expect("(", "after 'if'")
        condition = self.expression()
        self.expect(")", "after the condition of 'if'")
        then = self._branch()
        otherwise = self._branch() if self.takes("else") else None
        return syntax.If(self.span(start), condition, then, otherwise)

    def _while(self, start: Token, label: str, inline: bool) -> syntax.While:
        self.next()
        self.expect("(", "after 'while'")
        condition = self.expression()
        self.expect(")", "after the condition of 'while'")
        step = None
        if self.takes(":"):
            self.expect("(", "before the step of 'while'")
            step = self._simple(semicolon=False)
            self.expect(")", "after the step of 'while'")
        body = self._branch()
        return syntax.While(self.span(start), condition, step, body, label, inline)

    def _for(self, start: Token, label: str, inline: bool) -> syntax.For:
        self.next()
        self.expect("(", "after 'for'")
        over = self.expression()
        self.expect(")", "after what 'for' goes over")
        self.expect("|", "before the name of the element, as in for (@range(i16, 4)) |i| {...}")
        names = [self.name("the element")]
        if self.takes(","):
            names.append(self.name("the counter"))
        self.expect("|", "after the names of 'for'")
        body = self._branch()
        return syntax.For(self.span(start), over, tuple(names), body, label, inline)

    def _jump(self, start: Token, semicolon: bool = True) -> syntax.Node:
        word = self.next().text
        label = ""
        if word != "return" and self.takes(":"):
            label = self.name("a label")
        value = None
        if word != "continue" and not self.sees(";") and not self.sees(",") and not self.sees("}"):
            value = self.argument()
        if semicolon:
            self._end(f"after '{word}'")
        span = self.span(start)
        if word == "return":
            return syntax.Return(span, value)
        return syntax.Break(span, label, value) if word == "break" else syntax.Continue(span, label)

    def _simple(self, semicolon: bool) -> syntax.Node:
        """An assignment, or an expression for its effect."""
        start = self.token
        target = self.expression()
        token = self.token
        found: syntax.Node
        if token.kind == "mark" and token.text in ASSIGNMENTS:
            self.next()
            value = self.argument()
            found = syntax.Assign(self.span(start), token.text[:-1], target, value)
        else:
            found = syntax.Do(self.span(start), target)
        if semicolon and not self.sees("else"):  # as in: if (c) f() else g();
            self._end("after the statement")
        return found

    def case_body(self) -> syntax.Node:
        """A block, a jump, an assignment or a value; no ';' behind it."""
        if self.sees("{"):
            return self.block()
        if self.token.kind == "name" and self.token.text in ("return", "break", "continue"):
            return self._jump(self.token, semicolon=False)
        return self._simple(semicolon=False)

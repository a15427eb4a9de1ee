"""Expressions and types."""

from abc import ABC, abstractmethod

from wsekern.csl import syntax
from wsekern.csl.lexer import Token, bytes_of
from wsekern.csl.parsing import Tokens
from wsekern.csl.source import CslError, Diagnostic, Span

COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
LEVELS = {operator: level for level, operators in enumerate(
    (("or",), ("and",), COMPARISONS, ("&", "^", "|"), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))) for operator in operators}
"""How tightly binary operators bind, loosest 0; those of a level are applied from left to right."""
TYPES = (syntax.Name, syntax.Member, syntax.Call, syntax.ArrayType, syntax.Builtin, syntax.StructType)
"""What may stand before the ``{`` of an initializer."""
UNARY = ("-", "!", "~", "&")
ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=")


class Expressions(Tokens, ABC):
    """Recursive descent over values; :class:`wsekern.csl.parser.Parser` adds statements and declarations."""

    @abstractmethod
    def block(self, label: str = "", comptime: bool = False) -> syntax.Block:
        """``{...}``."""

    @abstractmethod
    def case_body(self) -> syntax.Node:
        """What a case of a switch does or gives."""

    def expression(self) -> syntax.Expression:
        """Any value."""
        return self.nested(self._binary)

    def _binary(self, loosest: int = 0) -> syntax.Expression:
        start = self.token
        left = self._unary()
        while True:
            operator = self.token
            level = LEVELS.get(operator.text, -1) if operator.kind in ("mark", "name") else -1
            if level < loosest:
                return left
            self.next()
            right = self._binary(level + 1)
            left = syntax.Binary(self.span(start), operator.text, left, right)
            if operator.text in COMPARISONS and self.token.text in COMPARISONS and self.token.kind == "mark":
                self.fail("comparisons cannot follow each other; join them with 'and'")

    def _unary(self) -> syntax.Expression:
        start = self.token
        if start.kind == "mark" and start.text in UNARY:
            self.next()
            operand = self.nested(self._unary)
            return syntax.Unary(self.span(start), start.text, operand)
        if self.sees("comptime"):
            self.next()
            if self.sees("{"):
                return self.block(comptime=True)
            value = self.nested(self._unary)
            return syntax.Comptime(self.span(start), value)
        return self._postfix()

    def _postfix(self) -> syntax.Expression:
        start = self.token
        value = self._primary()
        while True:
            if self.takes(".*"):
                value = syntax.Dereference(self.span(start), value)
            elif self.takes("."):
                name = self._field()
                value = syntax.Member(self.span(start), value, name)
            elif self.takes("["):
                indices = self.listed("]", self.expression, "an index")
                if not indices:
                    self.fail("an index is missing between '[' and ']'")
                value = syntax.Index(self.span(start), value, indices)
            elif self.takes("("):
                arguments = self.listed(")", self.argument, "an argument")
                value = syntax.Call(self.span(start), value, arguments)
            elif self.sees("{") and isinstance(value, TYPES):
                value = self._initializer(start, value)
            else:
                return value

    def _field(self) -> str:
        """A name behind a dot; words that are keywords elsewhere may be fields."""
        if self.token.kind != "name":
            self.fail(f"expected the name of a member after '.', found {self.shown()}")
        return self.next().text

    def _primary(self) -> syntax.Expression:
        token = self.token
        if token.kind in ("int", "float", "string", "char"):
            return self._literal(token)
        if token.kind == "builtin":
            return self._builtin()
        if token.kind == "mark":
            return self._marked(token)
        if token.kind == "name":
            return self._word(token)
        self.fail(f"expected a value, found {self.shown()}")

    def _literal(self, token: Token) -> syntax.Literal:
        self.next()
        digits = token.text.replace("_", "")
        value: int | float | bytes
        if token.kind == "int":
            value = int(digits, 0) if digits[1:2].isalpha() else int(digits)
        elif token.kind == "float":
            value = float(digits)
        else:
            value = bytes_of(token, self.source)
            if token.kind == "char":
                if len(value) != 1:
                    self.fail("a character literal holds one byte", token=token)
                value = value[0]
        if token.kind in ("int", "float") and self.token.start == token.end and self.token.kind in ("name", "int", "float"):
            self.fail(f"'{token.text}{self.token.text}' is neither a number nor a name", token=token)
        return syntax.Literal(self.span(token), value)

    def _builtin(self) -> syntax.Builtin:
        token = self.next()
        self.expect("(", f"after {token.text}: builtins are called")
        arguments = self.listed(")", self.argument, "an argument")
        return syntax.Builtin(self.span(token), token.text[1:], arguments)

    def argument(self) -> syntax.Expression:
        """A value or a type, which may begin with a word that no value begins with."""
        return self.type() if self._begins_type() else self.expression()

    def _begins_type(self) -> bool:
        """Whether only a type can begin here: ``*T`` and ``fn`` begin no value."""
        return self.sees("*") or self.sees("fn") or self.sees("task")

    def _marked(self, token: Token) -> syntax.Expression:
        if self.takes("("):
            value = self.expression()
            self.expect(")", "to close '('")
            return value
        if token.text == ".{":
            self.next()
            return self._fields(token, None)
        if token.text == "[":
            return self.type()
        if token.text == "|":
            return self._tensor()
        if token.text == "{":
            return self.block()
        if token.text == "*":
            return self.type()
        self.fail(f"expected a value, found {self.shown()}")

    def _word(self, token: Token) -> syntax.Expression:
        if token.text in ("true", "false"):
            self.next()
            return syntax.Literal(self.span(token), token.text == "true")
        if token.text == "undefined":
            self.next()
            return syntax.Literal(self.span(token), None)
        if token.text == "if":
            return self._choice()
        if token.text == "switch":
            return self.switch()
        if token.text in ("struct", "union", "enum", "packed", "extern", "fn", "task"):
            return self.type()
        if token.text == "asm":
            self.fail("assembly is not supported: it is experimental in CSL and its instructions are undocumented")
        if self.ahead().text == ":" and self.ahead(2).text in ("{", "switch") and self.ahead().kind == "mark":
            label = self.name("a label")
            self.next()
            return self.switch(label) if self.sees("switch") else self.block(label)
        name = self.name("a value")
        return syntax.Name(self.span(token), name)

    def _choice(self) -> syntax.Choice:
        start = self.next()
        self.expect("(", "after 'if'")
        condition = self.expression()
        self.expect(")", "after the condition of 'if'")
        then = self.expression()
        otherwise = self.expression() if self.takes("else") else None
        return syntax.Choice(self.span(start), condition, then, otherwise)

    def switch(self, label: str = "") -> syntax.Switch:
        """``switch (...) {...}``, a statement or a value."""
        start = self.next()
        self.expect("(", "after 'switch'")
        subject = self.expression()
        self.expect(")", "after the subject of 'switch'")
        self.expect("{", "before the cases of 'switch'")
        cases: list[syntax.Case] = []
        while not self.takes("}"):
            cases.append(self._case())
            self.takes(",")
        return syntax.Switch(self.span(start), subject, tuple(cases), label)

    def _case(self) -> syntax.Case:
        start = self.token
        values: tuple[syntax.Expression, ...] = ()
        if self.takes("else"):
            self.expect("=>", "after 'else' in 'switch'")
        else:
            values = self.listed("=>", self.expression, "a value of a case")
        body = self.case_body()
        return syntax.Case(self.span(start), values, body)

    def _initializer(self, start: Token, type_: syntax.Expression) -> syntax.Initializer:
        self.next()
        return self._fields(start, type_)

    def _fields(self, start: Token, type_: syntax.Expression | None) -> syntax.Initializer:
        fields = self.listed("}", self._initial, "an element")
        names, values = tuple(name for name, _ in fields), tuple(value for _, value in fields)
        span = self.span(start)
        if any(names) and not all(names):
            raise CslError([Diagnostic("either all elements have names ('.name = value') or none has", span)])
        twice = next((name for at, name in enumerate(names) if name and name in names[:at]), None)
        if twice:
            raise CslError([Diagnostic(f"the field '{twice}' is given twice", span)])
        return syntax.Initializer(span, type_, names, values)

    def _initial(self) -> tuple[str, syntax.Expression]:
        if self.sees(".") and self.ahead(2).text == "=" and self.ahead().kind == "name":
            self.next()
            name = self.next().text
            self.next()
            return name, self.argument()
        return "", self.argument()

    def _tensor(self) -> syntax.TensorAccess:
        start = self.next()
        variables = [self.name("an index")]
        while self.takes(","):
            variables.append(self.name("an index"))
        self.expect("|", "after the indices of a tensor access")
        self.expect("{", "before the extents of a tensor access")
        extents = self.listed("}", self.expression, "an extent")
        if len(extents) != len(variables):
            self.fail(f"{len(variables)} indices need as many extents, found {len(extents)}", token=start)
        self.expect("->", "before the array of a tensor access")
        target = self.nested(self._postfix)
        return syntax.TensorAccess(self.span(start), tuple(variables), extents, target)

    # ---- Types ----

    def type(self) -> syntax.Expression:
        """A type, where nothing but a type can stand."""
        return self.nested(self._type)

    def _type(self) -> syntax.Expression:
        start = self.token
        if self.takes("*"):
            constant = self.takes("const")
            element = self.type()
            return syntax.PointerType(self.span(start), element, constant, False)
        if self.takes("["):
            return self._array(start)
        if self.sees("fn") or self.sees("task"):
            return self._function_type()
        if start.text in ("packed", "extern", "struct", "union") and start.kind == "name":
            return self._struct()
        if self.sees("enum"):
            return self._enum()
        if start.kind == "builtin":
            return self._builtin()
        return self._named(start)

    def _named(self, start: Token) -> syntax.Expression:
        if self.sees("comptime"):
            self.fail("expected a type, found 'comptime'")
        value: syntax.Expression = syntax.Name(Span(self.source, start.start, start.end), self.name("a type"))
        while self.takes("."):
            name = self._field()
            value = syntax.Member(self.span(start), value, name)
        if self.takes("("):
            arguments = self.listed(")", self.argument, "an argument")
            value = syntax.Call(self.span(start), value, arguments)
        return value

    def _array(self, start: Token) -> syntax.Expression:
        if self.sees("*") and self.ahead().text == "]":
            self.next()
            self.next()
            constant = self.takes("const")
            element = self.type()
            return syntax.PointerType(self.span(start), element, constant, True)
        extents = self.listed("]", self.expression, "an extent")
        if not extents:
            self.fail("an extent is missing: expected [n]T, or [*]T for a pointer to many")
        element = self.type()
        if isinstance(element, syntax.ArrayType):
            span = self.span(start)
            raise CslError([Diagnostic("the extents of an array stand in one bracket, as in [2, 3]f32", span)])
        return syntax.ArrayType(self.span(start), extents, element)

    def _function_type(self) -> syntax.FunctionType:
        start = self.next()
        self.expect("(", f"after '{start.text}' in a type")
        parameters = self.listed(")", self._unnamed, "a parameter")
        result = self.type()
        return syntax.FunctionType(self.span(start), "fn" if start.text == "fn" else "task", parameters, result)

    def _unnamed(self) -> syntax.Expression:
        """A parameter of a function's type, whose name, if there is one, means nothing."""
        if self.token.kind == "name" and self.ahead().text == ":":
            self.next()
            self.next()
        return self.type()

    def _struct(self) -> syntax.StructType:
        start = self.token
        layout = self.next().text if start.text in ("packed", "extern") else ""
        kind = self.token.text
        if kind not in ("struct", "union"):
            self.fail(f"expected 'struct' or 'union' after '{layout}', found {self.shown()}")
        self.next()
        self.expect("{", f"before the fields of a {kind}")
        fields: list[tuple[str, syntax.Expression]] = []
        while not self.takes("}"):
            name = self._field_name(kind, [each for each, _ in fields])
            self.expect(":", f"after the field '{name}'")
            fields.append((name, self.type()))
            if not self.takes(","):
                self.takes(";")
        return syntax.StructType(self.span(start), "struct" if kind == "struct" else "union", layout,
                                 tuple(name for name, _ in fields), tuple(each for _, each in fields))

    def _field_name(self, kind: str, known: list[str]) -> str:
        if self.token.kind != "name":
            self.fail(f"expected the name of a field of the {kind}, or '}}', found {self.shown()}")
        if self.token.text in known:
            self.fail(f"the field '{self.token.text}' is declared twice")
        return self.next().text

    def _enum(self) -> syntax.EnumType:
        start = self.next()
        type_ = None
        if self.takes("("):
            type_ = self.type()
            self.expect(")", "after the type of an enum")
        self.expect("{", "before the members of an enum")
        names: list[str] = []
        values: list[syntax.Expression | None] = []
        while not self.takes("}"):
            names.append(self._field_name("enum", names))
            values.append(self.expression() if self.takes("=") else None)
            if not self.takes(","):
                self.expect("}", "or ',' after a member of an enum")
                break
        return syntax.EnumType(self.span(start), type_, tuple(names), tuple(values))

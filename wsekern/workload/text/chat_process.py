"""Renders one chat template: a program of its own, so that limits of the system can end it (see ``chat.py``).

Reads a JSON object with ``source``, ``values``, ``seconds``, ``megabytes`` and ``path`` (where Python finds jinja2) from
standard input, and writes one with ``text`` or ``error``. Imports nothing of wsekern.
"""

import json
import sys
from datetime import datetime
from typing import Any


def limit(seconds: int, megabytes: int) -> None:
    """End this process when it takes more."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def namespaces() -> type:
    """``namespace(...)``: jinja2's, without names that lead into Python."""
    import jinja2

    class Namespace(jinja2.utils.Namespace):
        def __init__(*arguments: Any, **values: Any) -> None:
            for name in dict(*arguments[1:], **values):
                Namespace._check(name)
            jinja2.utils.Namespace.__init__(*arguments, **values)

        def __setitem__(self, name: str, value: Any) -> None:
            Namespace._check(name)
            super().__setitem__(name, value)

        @staticmethod
        def _check(name: Any) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")

    return Namespace


def environment() -> Any:
    """jinja2's immutable sandbox with what ``transformers`` gives templates, and no way out of it."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %} ... {% endgeneration %}`` marks what the assistant says: here its text alone."""

        tags = frozenset({"generation"})

        def parse(self, parser: Any) -> Any:
            """The statements inside, in a scope of their own."""
            line = next(parser.stream).lineno
            return jinja2.nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    class Dictionary:
        """``dict(...)`` without the class's own attributes."""

        def __call__(self, *arguments: Any, **values: Any) -> dict:
            return dict(*arguments, **values)

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
               sort_keys: bool = False) -> str:
        # jinja2's own escapes for HTML
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals.update(raise_exception=raise_exception, namespace=namespaces(), dict=Dictionary(),
                        strftime_now=lambda form: datetime.now().strftime(form))
    return made


def answer(request: dict[str, Any]) -> dict[str, str]:
    """The text, or why there is none."""
    sys.path[:] = request["path"]
    try:
        made = environment()
    except ImportError as error:
        return {"error": f"jinja2 (3.1 or newer) is needed: {error}"}
    import jinja2

    limit(request["seconds"], request["megabytes"])
    try:
        return {"text": made.from_string(request["source"]).render(**request["values"])}
    except jinja2.exceptions.TemplateSyntaxError as error:
        return {"error": f"line {error.lineno}: {error.message}"}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error) or type(error).__name__}
    except MemoryError:
        return {"error": f"it needs more than {request['megabytes']} MB"}
    except Exception as error:  # whatever a template does to Python's values
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    reply = json.dumps(answer(json.load(sys.stdin)))
    sys.stdout.write(reply)

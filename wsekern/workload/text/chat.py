"""Chat templates: messages become the prompt that a model was trained on, as ``transformers`` 5.24 renders them.

A template comes with a model's files and is a program of strangers. It runs in jinja2's sandbox, in a process of its own
(``chat_process.py``), which ends when it takes too long or too much memory.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsekern.errors import InputError, check_flag
from wsekern.workload.json_files import read_object

SECONDS = 5
"""Processor time that a template may take; real ones need some milliseconds."""

MEGABYTES = 512
"""Memory that a template's process may take."""

Message = Mapping[str, str]
"""``role`` (system, user, assistant) and ``content``."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template and the special tokens that it may name (bos_token, ...)."""

    source: str
    where: str  # file, for errors
    special: Mapping[str, str] = field(default_factory=dict)

    def render(self, messages: Sequence[Message], continued: bool = True) -> str:
        """The prompt for ``messages``; ``continued``: with the beginning of the assistant's next one.

        :class:`InputError` where the template refuses the messages, is none, or does not end.
        """
        request = {"source": self.source, "megabytes": MEGABYTES, "seconds": SECONDS, "path": sys.path, "values": {
            **self.special, "messages": [dict(message) for message in messages], "tools": None, "documents": None,
            "add_generation_prompt": check_flag(continued, "continued of a chat")}}
        try:
            done = subprocess.run([sys.executable, "-P", str(Path(__file__).with_name("chat_process.py"))], check=False,
                                  input=json.dumps(request).encode(), capture_output=True, timeout=6 * SECONDS,
                                  start_new_session=True)  # a Ctrl-C is not for it
        except subprocess.TimeoutExpired:
            raise InputError(f"{self.where}: the chat template did not end within {SECONDS} seconds") from None
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise InputError(f"{self.where}: the chat template did not end within {SECONDS} seconds and {MEGABYTES} MB of "
                             "memory") from None
        if "error" in answer:
            raise InputError(f"{self.where}: the chat template cannot be used: {' '.join(answer['error'].split())}")
        return answer["text"]


def load_template(path: Path, special: Mapping[str, str]) -> ChatTemplate | None:
    """The template of folder ``path``, or None: a file of its own wins over tokenizer_config.json."""
    for name in ("chat_template.jinja", "additional_chat_templates/default.jinja"):
        if (path / name).is_file():
            try:
                source = (path / name).read_text(encoding="utf-8")
            except ValueError:
                raise InputError(f"{path / name} is not text in UTF-8") from None
            return ChatTemplate(source=source, where=str(path / name), special=special)
    for name in ("tokenizer_config.json", "chat_template.json"):
        given = read_object(path / name).get("chat_template")
        if given is not None:
            return ChatTemplate(source=_default(given, path / name), where=str(path / name), special=special)
    return None


def _default(given: Any, file: Path) -> str:
    """A template, or the one called default of several."""
    if isinstance(given, list) and all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in given):
        given = {one["name"]: one.get("template") for one in given}
    if isinstance(given, dict):
        names = ", ".join(sorted(map(str, given)))
        given = given.get("default")
        if given is None:
            raise InputError(f"{file}: of its chat templates ({names[:200]}) none is called default")
    if not isinstance(given, str):
        raise InputError(f"{file}: chat_template is {str(given)[:60]!r}, expected text, or templates with one called default")
    return given

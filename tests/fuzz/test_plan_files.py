"""Plan files that are nearly right: each is read, or refused in one sentence, and what was read answers."""

import importlib.util
import math
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from wsekern.machine import load_machine
from wsekern.planning.plan_file import load_plan, plan_text, planned_config
from wsekern.planning.service import Service, Share, plan_service

_spec = importlib.util.spec_from_file_location("test_files", Path(__file__).with_name("test_files.py"))
fuzz = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzz)


@cache
def text() -> str:
    plan = plan_service(planned_config("sample"), load_machine("wse3"), Service(256, 1, 2, (Share(100, 50),)), (1,))
    return plan_text("sample", "wse3", plan.chosen)


def toml(data: Any) -> str:
    """Nested dicts and lists as inline TOML."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(toml, data)) + "]"
    return msgspec.json.encode(data).decode().replace("null", '"null"')


def answers(path: Path) -> None:
    """A file that is read gives a placement with finite answers, and the file again."""
    plan = load_plan(path)
    assert math.isfinite(plan.offer.speed) and 0 < plan.offer.share < 1
    assert plan_text(plan.model, plan.machine, plan.offer)


@fuzz.thorough
@given(st.data())
def test_plans_with_changed_values(data):
    changed = data.draw(fuzz.changed_data(msgspec.toml.decode(text())))
    lines = [f"{toml(str(key))} = {toml(value)}" for key, value in changed.items()] if isinstance(changed, dict) else ["x"]
    fuzz.in_file("\n".join(lines).encode("utf-8", "replace"), "plan.toml", answers)


@fuzz.thorough
@given(st.data())
def test_plans_with_changed_bytes(data):
    content = bytearray(text().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    fuzz.in_file(bytes(content), "plan.toml", answers)

"""Every command's JSON: one document and nothing else, with the keys that design.md, section 6, promises for its kind."""

import contextlib
import importlib.util
import json
import pickle
import re
import shlex
import socket
import sys
import threading
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("json_outputs", Path(__file__).with_name("json_outputs.py"))
json_outputs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(json_outputs)

SIDE = {"name", "time_to_first_token_seconds", "time_per_output_token_seconds", "tokens_per_second_per_user",
        "tokens_per_second", "watts", "joules_per_token", "usd_per_million_tokens", "lone_time_to_first_token_seconds",
        "lone_time_per_output_token_seconds", "request_seconds", "requests_per_second", "prompt_tokens_per_second",
        "joules_per_request", "usd_per_request", "usd_per_hour"}
COMPARISON = {"model", "request", "wafer", "cluster", "cluster_ideal", "wafer_better_by", "reasons", "not_served"}
LOADED = {"name", "systems", "requests", "seconds", "offered_requests_per_second", "requests_per_second", "tokens_per_second",
          "prompt_tokens_per_second", "time_to_first_token_seconds", "time_per_output_token_seconds", "request_seconds",
          "share_within_slo", "goodput", "requests_in_system", "requests_waiting", "utilisation", "watts", "joules",
          "joules_per_request", "joules_per_token", "usd_per_hour", "usd", "usd_per_request", "usd_per_million_tokens",
          "over_time", "facts", "assumptions"}
SITE = {"system", "systems", "users", "tokens_per_second", "joules_per_token", "system_watts", "assumptions",
        "requests_per_second", "request_seconds", "joules_per_request", "usd_per_request", "time_per_output_token_seconds"}
RUN = {"text", "tokens", "prefill_cycles", "cycles_per_token", "tokens_per_second", "clock_hertz", "breakdown_cycles",
       "link_traversals", "both_engines"}
KEYS = {
    "machines": {"wafers", "gpus", "clusters", "models"},
    "machines NAME": {"name", "clock", "core", "fabric", "system"},
    "compare": COMPARISON | {"execution"},
    "compare MODEL": COMPARISON,
    "compare --cluster NAME,NAME": COMPARISON - {"cluster", "cluster_ideal", "wafer_better_by"} | {"clusters", "front"},
    "compare --batches": {"model", "mode", "cells", "crossovers", "front"},
    "compare --rate": {"model", "load", "slo", "wafer", "cluster", "systems_needed", "not_served", "reasons"},
    "compare --power": {"model", "power", "wafers", "gpus", "gpus_ideal", "not_served"},
    "plan": {"model", "machine", "service", "front", "over_users", "over_contexts", "bound", "regions"},
    "run": RUN | {"model", "sampling", "notes", "tokens_checked"},
    "evaluate": {"model", "text", "tokens", "machine", "exact_perplexity", "rows"},
    "predict wafer": {"tokens_per_second", "seconds", "cycles", "cycles_per_layer", "breakdown"},
    "predict gpu": {"tokens_per_second", "seconds", "breakdown", "watts", "joules_per_token"},
    "predict cluster": {"best", "pareto"},
    "predict op": {"cycles", "energy", "breakdown"},
    "predict op crossover": {"op", "machine", "pes", "cycles"},
    "validate": {"rows", "groups"},
}
"""What the document of each kind of command holds at least."""

INSIDE = {
    "compare": [("execution", RUN - {"link_traversals"}), ("wafer", SIDE | {"shares"}), ("cluster", SIDE | {"shares"})],
    "compare MODEL": [("wafer", SIDE | {"shares"}), ("cluster", SIDE), ("cluster_ideal", SIDE)],
    "compare --cluster NAME,NAME": [("wafer", SIDE), ("clusters", {"name", "cluster", "cluster_ideal", "wafer_better_by"})],
    "compare --batches": [("cells", {"prompt", "output", "batch", "wafer", "cluster", "ideal", "notes"}),
                          ("crossovers", {"prompt", "measure", "batch", "sentence"})],
    "compare --rate": [("wafer", LOADED), ("cluster", LOADED),
                       ("load", {"requests", "prompt_tokens", "output_tokens", "notes"})],
    "compare --power": [("wafers", SITE), ("gpus", SITE), ("gpus_ideal", SITE)],
    "evaluate": [("rows", {"precision", "weights", "activations", "perplexity", "nats_above_exact", "divergence_nats",
                           "cycles_per_token"})],
    "plan": [("front", {"wafers", "tokens_per_second_one_user", "bound_tokens_per_second", "share_of_bound", "binds",
                        "users_held", "tokens_per_second", "longest_context", "chosen"}),
             ("over_users", {"users", "tokens_per_second_per_user", "time_to_first_token_seconds", "longest_context"}),
             ("over_contexts", {"cached_tokens", "tokens_per_second_per_user", "prompt_tokens_per_second"}),
             ("regions", {"wafer", "kind", "x", "y", "width", "height", "first_layer", "layers", "memory_filled"})],
    "predict cluster": [("best", {"cluster", "tokens_per_second", "watts"}), ("pareto", {"cluster", "tp", "batch"})],
    "validate": [("rows", {"id", "group", "measured", "predicted", "unit", "error"}),
                 ("groups", {"group", "count", "predicted", "median_error", "worst_error"})],
}
"""What lies under a key: the keys of that table, or of every table in that list."""


def kind_of(arguments: list[str]) -> str:
    """Which document of ``KEYS`` a command prints."""
    command, rest = arguments[0], arguments[1:]
    if command == "predict":
        return "predict op crossover" if rest[1].endswith("-crossover") else f"predict {rest[0]}"
    if command == "compare" and "--power" in rest:
        return "compare --power"
    if command == "compare" and {"--rate", "--trace"} & set(rest):
        return "compare --rate"
    if command == "compare" and {"--batches", "--prompts", "--equal"} & set(rest):
        return "compare --batches"
    if command == "compare" and "," in "".join(rest):
        return "compare --cluster NAME,NAME"
    return {"machines": "machines NAME", "compare": "compare MODEL"}.get(command, command) if rest else command


@pytest.mark.parametrize("arguments", json_outputs.COMMANDS, ids=shlex.join)
def test_a_command_prints_one_document_with_the_promised_keys(arguments, capfd):
    with nothing_untrusted():
        code, text = json_outputs.run(arguments)
    data, kind = json.loads(text), kind_of(arguments)
    assert code == 0 and capfd.readouterr().out == ""  # nothing passes the redirected stream by
    assert set(data) >= KEYS[kind]
    for name, keys in INSIDE.get(kind, []):
        for item in data[name] if isinstance(data[name], list) else [data[name]]:
            assert set(item) >= keys
        assert data[name]


_WATCHED: list[int] = []
"""Threads in which nothing may connect or be unpickled."""


def _refuse(event: str, arguments: tuple) -> None:
    if _WATCHED and event.startswith(("socket.", "pickle.", "urllib.", "os.system")) and threading.get_ident() in _WATCHED:
        raise PermissionError(f"{event} {arguments}")


sys.addaudithook(_refuse)   # for good: hooks cannot be taken away


@contextlib.contextmanager
def nothing_untrusted():
    """Inside, a connection, even a socket, and an unpickled object raise an error."""
    _WATCHED.append(threading.get_ident())
    try:
        yield
    finally:
        _WATCHED.pop()


def test_what_is_forbidden_raises_an_error():
    for forbidden in (socket.socket, lambda: pickle.loads(pickle.dumps(print))):
        with nothing_untrusted(), pytest.raises(PermissionError, match=r"socket|pickle"):
            forbidden()
    socket.socket().close()


def test_the_commands_are_of_every_kind_engine_and_precision():
    text = "\n".join(shlex.join(arguments) for arguments in json_outputs.COMMANDS)
    assert {kind_of(arguments) for arguments in json_outputs.COMMANDS} == set(KEYS)
    assert set(re.findall(r"--engine (\w+)", text)) == {"flow", "cycle"}
    assert {"fp32", "fp16", "fp16_fp32", "bf16", "fp8"} <= set(re.findall(r"--(?:precision|dtype) (\w+)", text))


def test_a_failed_command_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(json_outputs, "COMMANDS", [["machines", "wse2"], ["machines", "abacus"]])
    assert json_outputs.main(tmp_path / "new") == 1
    assert json.loads((tmp_path / "new" / "01.json").read_text())["name"] == "wse2"
    assert (tmp_path / "new" / "02.json").read_text() == "" and "exit code 2" in capsys.readouterr().err

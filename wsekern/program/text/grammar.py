"""Words of the text form of programs, which the printer and the parser share."""

import re
from typing import Any

import numpy as np

from wsekern.program.operands import NUMPY_TYPES

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
REGISTER = re.compile(r"r(0|[1-9][0-9]{0,2})")
RESERVED = frozenset({"task", "none", "inf", "nan", "ring", "fifo", "fabin", "fabout", "fabric"})

SLOTS: dict[str, tuple[str, ...]] = {
    "end": (), "return": (), "spend": ("imm",), "scalar": ("dst", "a", "b", "c"), "constant": ("dst", "bits"),
    "parameter": ("dst", "imm"), "convert": ("dst", "a", "from"), "load": ("dst", "element"), "store": ("element", "b"),
    "take": ("dst", "read", "index"), "give": ("written", "c", "index"), "jump": ("label",), "branch": ("a", "label"),
    "call": ("label",), "activate": ("task",), "block": ("task",), "unblock": ("task",), "block_queue": ("imm",),
    "unblock_queue": ("imm",), "time": ("dst", "imm"), "set_base": ("own", "place"), "move_base": ("own", "index"),
    "set_extent": ("own", "index"), "set_stride": ("own", "index"), "load_descriptor": ("own", "copied"),
    "route": ("imm", "route"), "position": ("imm", "a"), "leave_teardown": ("imm",), "torn_down": ("dst",),
    "bind_input": ("imm", "a"), "bind_output": ("imm", "a"), "flush": ("imm",), "leave_flush": ("imm",), "flushed": ("dst",),
}
"""What stands behind each form of scalar instruction, in order; :data:`SLOT_FIELDS` has the fields that a slot holds."""

SLOT_FIELDS = {"bits": ("imm",), "from": ("source",), "element": ("target", "a"), "read": ("target",), "written": ("target",),
               "index": ("a",), "label": ("target",), "task": ("target",), "own": ("target",), "place": ("source", "a"),
               "copied": ("source",), "route": ("target",)}


def number_of(text: str, type: str) -> Any:
    """A number of an element type, as :func:`wsekern.program.text.listing.value_text` writes it (not in hexadecimal)."""
    with np.errstate(over="ignore"):
        return NUMPY_TYPES[type](text)

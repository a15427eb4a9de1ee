"""Records and codes that cross from Python to the C core: one table in ``src/program/pe_code.h`` says what they are."""

import re
from pathlib import Path

import numpy as np
import pytest

from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.program import _pe
from wsekern.program.encode import core_latency, encode, stack
from wsekern.program.instructions import FORMS, INSTRUCTIONS, OPERATIONS, PRIORITIES
from wsekern.program.operands import TYPE_BYTES
from wsekern.program.program import Program

RECORDS = {"descriptor": _pe.DESCRIPTOR, "instruction": _pe.INSTRUCTION, "program": _pe.PROGRAM, "latency": _pe.LATENCY}
DECLARATIONS = Path(__file__).parents[2] / "src/program/pe_code.pxd"


def test_every_name_that_programs_use_has_a_code():
    assert tuple(_pe.FORM_CODES) == FORMS
    assert tuple(_pe.OPERATION_CODES) == OPERATIONS
    assert tuple(_pe.TYPE_CODES) == tuple(TYPE_BYTES)
    assert {operation for operation, _ in INSTRUCTIONS.values()} <= set(_pe.OPERATION_CODES)
    assert {arithmetic for _, arithmetic in INSTRUCTIONS.values()} <= set(_pe.TYPE_CODES)
    for codes in (_pe.FORM_CODES, _pe.OPERATION_CODES, _pe.TYPE_CODES, _pe.KIND_CODES):
        assert list(codes.values()) == list(range(len(codes)))
    assert PRIORITIES == {"high": 0, "medium": 1, "low": 3}


@pytest.mark.parametrize("name", RECORDS)
def test_the_fields_of_a_record_fill_it_without_gaps(name):
    record, at = RECORDS[name], 0
    for field in record.names:
        kind, offset = record.fields[field]
        assert kind.base == np.int32 and offset == at, field
        at += kind.itemsize
    assert record.itemsize == at


@pytest.mark.parametrize("name", RECORDS)
def test_the_declarations_for_cython_name_every_field_with_its_length(name):
    text = DECLARATIONS.read_text().partition(f"ctypedef struct pe_{name}:")[2].partition("ctypedef")[0].partition("\n\n")[0]
    declared = {}
    for line in re.findall(r"^ +int32_t (.*)$", text, re.MULTILINE):
        for field in line.split(", "):
            found = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", field)
            declared[found[1]] = (int(found[2]),) if found[2] else ()
    assert declared == {field: RECORDS[name][field].shape for field in RECORDS[name].names}


def add_one() -> Program:
    program = Program("add one")
    x = program.array("x", "fp32", 8, 1.0)
    with program.task("main", active=True) as code:
        code.fadds(x, x, 1.0)
    return program


def arguments_of_cores() -> list:
    """What a core of one PE is made from."""
    timing = Timing(load_machine("wse3"), "silicon", "fp32")
    program_of, parameters = np.zeros(1, np.int32), np.zeros((1, 0), np.int32)
    return [*stack([encode(add_one(), timing)]), program_of, parameters, core_latency(timing, True), 1]


def test_fields_that_are_swapped_are_refused():
    for place in (0, 1, 2, 3, 6):
        arguments = arguments_of_cores()
        kind = arguments[place].dtype
        names = [kind.names[1], kind.names[0], *kind.names[2:]]
        arguments[place] = arguments[place].astype(np.dtype(list(zip(names, [kind[name] for name in kind.names], strict=True))))
        with pytest.raises(ValueError, match="records of type"):
            _pe.Cores(*arguments)


def test_a_program_becomes_records_by_name():
    headers, code, descriptors, routes, *_, latency, _ = arguments_of_cores()
    timing = Timing(load_machine("wse3"), "silicon", "fp32")
    assert len(headers) == 1 and headers["count"][0] == len(code) == 3 and not len(routes)
    assert headers["memory"][0] == 32 and headers["active"][0].bit_count() == 1
    add = code[code["form"] == _pe.FORM_CODES["vector"]][0]
    assert add["op"] == _pe.OPERATION_CODES["add"] and add["type"] == _pe.TYPE_CODES["fp32"]
    assert add["cycles"] == timing.setup("fadds")
    assert add["num"] / add["den"] == timing.rate("fadds")
    assert descriptors[add["dst"]]["kind"] == _pe.KIND_CODES["mem"] and descriptors[add["dst"]]["extent"] == 8
    assert descriptors[add["b"]]["kind"] == _pe.KIND_CODES["register"]
    assert latency["output"] == timing.latency("output") and latency["stride_width"].tolist() == list(timing.stride_width)


def test_programs_behind_each_other_know_where_their_own_code_begins():
    timing = Timing(load_machine("wse3"), "silicon", "fp32")
    one, two = encode(add_one(), timing), encode(add_one(), timing)
    headers, code, descriptors, _ = stack([one, two])
    assert headers["first"].tolist() == [0, len(one.code)] and headers["descriptor"].tolist() == [0, len(one.descriptors)]
    assert (code[:len(one.code)] == code[len(one.code):]).all() and len(descriptors) == 2 * len(one.descriptors)

"""The registry: one line makes an operation known to everything that lists operations."""

import pytest

from wsekern.errors import InputError
from wsekern.ops.predict import OPERATIONS, operation_table, predict_op
from wsekern.ops.registry import CROSSOVERS, SPECS, algorithms, find_spec


def test_every_name_stands_in_the_table_once_with_a_sentence():
    table = operation_table()
    names = [row.name for row in table]
    assert len(set(names)) == len(names) and set(OPERATIONS) <= set(names)
    assert {"best-reduce", "best-gemm", "reduce-crossover", "allreduce-crossover"} <= set(names)
    for row in table:
        assert row.summary.endswith(".") and row.summary[0].isupper() and len(row.summary) > 20, row.name
        assert row.sizes.startswith(("words", "tile")) and row.dtype in ("fp32", "fp16", "u32")


def test_names_and_aliases_are_unambiguous():
    names = [name for spec in SPECS for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    assert find_spec("reduce").name == "chain-reduce" and find_spec("gemm").name == "meshgemm"
    assert find_spec("local-exp").name == "local-KIND" and find_spec("bush") is None


def test_the_number_format_of_a_row_is_the_one_that_is_used():
    for row in operation_table():
        if row.name in ("allreduce", "broadcast", "line-multicast", "scan", "transpose"):
            assert predict_op(row.name, "wse3", grid=(4, 4), words=4)["dtype"] == row.dtype


def test_a_crossover_has_several_algorithms():
    for kind in CROSSOVERS:
        assert len(algorithms(kind)) >= 4
        assert all(build(9, 4).elements == 4 for build in algorithms(kind).values())
    with pytest.raises(InputError, match="no crossovers of 'shift': use one of reduce, allreduce"):
        algorithms("shift")


def test_an_unknown_name_is_answered_with_all_names():
    with pytest.raises(InputError) as caught:
        predict_op("bush", "wse3", grid=(2, 2))
    assert all(name in str(caught.value) for name in (*OPERATIONS, "best-gemv", "allreduce-crossover"))

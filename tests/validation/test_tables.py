"""The tables that the documentation shows are those that the command prints."""

import re

import pytest

from wsekern.errors import InputError
from wsekern.validation import cores, csl, formulas, gpu, wafer
from wsekern.validation.tables import FAMILIES, markdown


def lines(table: str) -> list[list[str]]:
    """Cells of the lines behind the header."""
    header, rule, *rest = table.split("\n")
    assert re.fullmatch(r"\|(---\|)+", rule) and header.count("|") == rule.count("|")
    assert all(line.startswith("| ") and line.endswith(" |") and line.count("|") == rule.count("|") for line in rest)
    return [line.strip("| ").split(" | ") for line in rest]


def test_the_wafers_table_has_every_group_once_in_order():
    names = [line[0] for line in lines(markdown("wafer"))]
    groups = [group["group"] for module in (wafer, formulas, cores, csl) for group in module.validate_rows()["groups"]]
    assert names == sorted(groups) and "meshgemm wse3 silicon" in names


def test_the_gpus_tables_are_groups_and_families():
    groups, title, families = markdown("gpu").split("\n\n")
    assert title == FAMILIES
    tested = {group["group"]: group for group in gpu.validate_rows()["groups"] if group["tested"]}
    found = lines(groups)
    assert [line[0] for line in found] == list(tested)
    for name, rows, fitted, *errors in found:
        assert int(rows) == tested[name]["predicted"] and int(rows) - int(fitted) == tested[name]["tested"]
        assert errors[0] == f"{100 * tested[name]['median_error']:.1f} %"
    assert [tuple(line[:4]) for line in lines(families)] == [
        (line["kind"], line["gpu"], line["family"], str(line["tested"])) for line in gpu.family_table()]


def test_other_tables_are_refused():
    with pytest.raises(InputError, match="wafer or gpu"):
        markdown("tpu")

"""Programs in CSL beside published cycles: a chain of PEs is where the vendor's simulator has it."""

from wsekern.validation import csl, formulas


def test_a_chain_of_pes_takes_what_was_published_and_a_constant():
    small, large = csl.chain_cycles(8, 64), csl.chain_cycles(16, 256)
    beginning = small - formulas.chain(8, 64)
    assert 0 < beginning < 150
    assert large - formulas.chain(16, 256) == beginning


def test_rows_say_what_they_stand_beside():
    rows = csl.validate_rows()["rows"]
    (measured,) = (row for row in rows if not row["note"])
    assert abs(measured["error"]) < 0.02
    assert all(row["predicted"] > row["measured"] for row in rows)
    assert csl.validate_rows("table.csv")["rows"] == []

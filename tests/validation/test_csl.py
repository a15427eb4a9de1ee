"""Programs in CSL beside published cycles: a chain of PEs is where the vendor's simulator has it, products near silicon."""

from wsekern.validation import csl, csl_products, formulas


def test_a_chain_of_pes_takes_what_was_published_and_a_constant():
    small, large = csl.chain_cycles(8, 64), csl.chain_cycles(16, 256)
    beginning = small - formulas.chain(8, 64)
    assert 0 < beginning < 150
    assert large - formulas.chain(16, 256) == beginning


def test_products_are_those_of_numpy_and_take_longer_for_larger_tiles():
    assert csl_products.gemm_cycles(4, 2, 1, 3) < csl_products.gemm_cycles(4, 2, 2, 3)
    assert csl_products.gemv_cycles(6, 1, 1, 2) < csl_products.gemv_cycles(6, 3, 5, 2)


def test_rows_say_what_they_stand_beside(monkeypatch):
    monkeypatch.setattr(csl_products, "GEMM_ROWS", ("W0211",))
    monkeypatch.setattr(csl_products, "GEMV_ROWS", ("W0334",))
    rows = {row["id"]: row for row in csl.validate_rows()["rows"]}
    chains = [row for row in rows.values() if row["group"] == csl.GROUP]
    (measured,) = (row for row in chains if not row["note"])
    assert abs(measured["error"]) < 0.02
    assert all(row["predicted"] > row["measured"] for row in chains)
    assert abs(rows["csl-W0334-meshgemv-16x16-1x1"]["error"]) < 0.05
    assert abs(rows["csl-W0211-meshgemm-16x16-1x1x1"]["error"]) < 0.15
    vectors = [row for row in rows.values() if row["group"] == "csl vector-fmuls wse2"]
    assert len(vectors) == 4 and all(55 < row["predicted"] - row["measured"] < 70 for row in vectors)
    assert csl.validate_rows("table.csv")["rows"] == []


def test_more_words_and_pes_cost_collectives_of_the_library_what_the_formulas_say():
    from wsekern.validation.csl_collectives import cycles_of
    assert cycles_of("broadcast", 8, 256) - cycles_of("broadcast", 8, 128) == 128
    assert cycles_of("reduce", 8, 256) - cycles_of("reduce", 8, 128) == 128
    for operation in ("scatter", "gather"):
        more = cycles_of(operation, 6, 64) - cycles_of(operation, 6, 32)
        assert 0.95 <= more / (formulas.star(6, 64) - formulas.star(6, 32)) <= 1.1

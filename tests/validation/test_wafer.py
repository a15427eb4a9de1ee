"""Published wafer measurements beside predictions: the accuracy that is promised, and how rows are read."""

from statistics import median

import pytest

from wsekern.calibration.columns import WAFER_FITTED
from wsekern.errors import InputError
from wsekern.validation.wafer import is_wafer_table, read_rows, validate_rows


@pytest.fixture(scope="module")
def shipped():
    return validate_rows()


@pytest.fixture
def table(tmp_path):
    def write(text: str):
        path = tmp_path / "rows.csv"
        path.write_text(text)
        return path

    return write


def errors(shipped, *words: str) -> list[float]:
    return [abs(row["error"]) for row in shipped["rows"] if all(word in row["group"] for word in words)]


def test_every_row_is_predicted_or_says_why(shipped):
    assert len(shipped["rows"]) == 192 + 18
    assert all(row["predicted"] is not None or row["note"] for row in shipped["rows"])
    assert {row["id"] for row in shipped["rows"] if row["fitted"]} <= WAFER_FITTED


@pytest.mark.parametrize("operation", ["meshgemv", "meshgemm", "shift"])
def test_kernels_on_wse3_silicon_are_within_three_percent(operation):
    from importlib.resources import as_file, files

    with as_file(files("wsekern.validation") / "data" / "wafer-validation.csv") as path:
        grids = {row["id"]: row["grid"] for row in read_rows(path)}
    rows = [row for row in validate_rows()["rows"]
            if row["group"] == f"{operation} wse3 silicon" and int(grids[row["id"]].split("x")[0]) >= 80]
    found = [abs(row["error"]) for row in rows]
    assert median(found) <= 0.03 and max(found) <= 0.10
    tested = [abs(row["error"]) for row in rows if not row["fitted"]]
    assert median(tested) <= 0.03 and max(tested) <= 0.10


def test_the_vendor_simulators_reductions_and_vectors_are_within_three_percent(shipped):
    assert max(errors(shipped, "reduce") + errors(shipped, "vector")) <= 0.03


def test_layers_on_wse2_are_within_ten_percent(shipped):
    for phase in ("decode", "prefill"):
        found = errors(shipped, "llm-layer", phase)
        assert len(found) == 6 and median(found) <= 0.10 and max(found) <= 0.12


def test_the_shortest_multicast_runs_are_within_two_percent(shipped):
    found = [abs(row["error"]) for row in shipped["rows"] if row["group"] == "line-multicast wse3 silicon"]
    assert max(found) <= 0.02


def test_own_tables_need_only_the_columns_of_their_operations(table):
    path = table("id,machine,profile,op,grid,tile,groups,value\nmine,wse3,silicon,meshgemv,96x96,4x4,6,500\n")
    assert is_wafer_table(path)
    (row,) = validate_rows(path)["rows"]
    assert row["predicted"] == pytest.approx(500, rel=0.1) and row["unit"] == "cycles"


@pytest.mark.parametrize(("line", "words"), [
    ("a,wse3,silicon,meshgemv,96x96,4x4,many,500", "groups"), ("a,wse3,silicon,sort,96x96,,,500", "sort"),
    ("a,wse9,silicon,meshgemv,96x96,4x4,6,500", "wse9"), ("a,wse3,gold,meshgemv,96x96,4x4,6,500", "gold"),
    ("a,wse3,silicon,meshgemv,9600x9600,4x4,6,500", "9600"), ("a,wse3,silicon,meshgemv,96,4x4,6,500", "WIDTHxHEIGHT"),
    ("a,wse3,silicon,meshgemv,96x96,wide,6,500", "8x8"), ("a,wse3,silicon,meshgemv,96x96,4x4,6,fast", "fast"),
    ("a,wse3,silicon,meshgemv,96x96,4x4,6,nan", "not a number"), ("a,wse3,silicon,llm-layer,,,,500", "square grid"),
    ("a,wse3,silicon,llm-layer,96x96,,,500", "context"),
])
def test_rows_without_a_prediction_are_listed_with_the_reason(table, line, words):
    (row,) = validate_rows(table(f"id,machine,profile,op,grid,tile,groups,value\n{line}\n"))["rows"]
    assert row["predicted"] is None and words in row["note"]


def test_only_the_rows_on_which_constants_were_set_count_as_fitted(table):
    """Not another measurement under the same name."""
    path = table("id,machine,profile,op,grid,tile,value\nW0211,wse3,silicon,meshgemm,16x16,1x1x1,2637.4\n"
                 "W0211,wse3,silicon,meshgemm,17x17,1x1x1,2637.4\n")
    assert [row["fitted"] for row in validate_rows(path)["rows"]] == [True, False]


def test_operations_are_predicted_in_cycles_only(table):
    path = table("id,machine,profile,op,grid,tile,value,unit\na,wse3,silicon,meshgemm,8x8,1x1x1,3,us\n")
    (row,) = validate_rows(path)["rows"]
    assert row["predicted"] is None and "'us'" in row["note"]


def test_an_unknown_metric_of_a_layer_is_listed_with_the_reason(table):
    (row,) = validate_rows(table("id,machine,profile,op,grid,model,phase,context,mapping,metric,value\n"
                                 "a,wse2,silicon,llm-layer,420x420,llama3-8b,decode,4096,waferllm,watts,5\n"))["rows"]
    assert row["predicted"] is None and "watts" in row["note"]


def test_other_files_are_refused_in_one_sentence(table, tmp_path):
    other = table("gpu,model,value\nh100,x,1\n")
    assert not is_wafer_table(other)
    with pytest.raises(InputError, match="'id' is missing"):
        validate_rows(other)
    for reader in (read_rows, is_wafer_table):
        with pytest.raises(InputError, match="cannot read"):
            reader(tmp_path / "absent.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    assert not is_wafer_table(binary)
    with pytest.raises(InputError, match="UTF-8"):
        read_rows(binary)

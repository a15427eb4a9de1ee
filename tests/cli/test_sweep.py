"""``wsekern sweep``: what it prints, draws and writes."""

import json

import pytest

SPEC = """
[inputs]
model = "qwen3-0.6b"
wafers = 1
prompt = 64
output = 16
slo_ttft = 0.01
[grid]
"gpu.price.per_hour" = { from = 1.0, to = 40.0, count = 5, scale = "log" }
"machine.system.price_per_hour" = [20.0, 80.0]
"""


def test_a_sweep_is_printed_drawn_and_goes_on(wsekern, tmp_path):
    spec, out = tmp_path / "prices.toml", tmp_path / "points.csv"
    spec.write_text(SPEC)
    arguments = ("sweep", str(spec), "--out", str(out), "--jobs", "1")
    code, text, _ = wsekern(*arguments, "--plot", str(tmp_path / "p.png"), "--html", str(tmp_path / "p.html"))
    assert code == 0 and "10 points" in text and "gpu.price.per_hour" in text and "from about" in text
    assert (tmp_path / "p.png").stat().st_size > 10_000 and "machine.system.price_per_hour" in (tmp_path / "p.html").read_text()
    records = [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()]
    assert len(records) == 10 == len(out.read_text().splitlines()) - 1 and records[0]["wafer"]["keeps_slo"] is True
    code, text, _ = wsekern(*arguments, "--json", "-", "--measure", "tokens_per_joule")
    data = json.loads(text)
    assert code == 0 and data["points"] == 10 and data["measure"] == "tokens_per_joule" and data["map"]["x"]
    assert {effect["alone"] for effect in data["effects"]} == {0.0}, "prices move no joules"


@pytest.mark.parametrize(("text", "arguments", "said"), [
    (SPEC.replace("wafers = 1", "wafer_count = 1"), (), "unknown input 'wafer_count'"),
    (SPEC, ("--jobs", "2", "--dask", "tcp://x:1"), "one without the other"), (SPEC, ("--out", "p.xlsx"), "expected a name"),
    ("[inputs", (), "not a TOML file"), (SPEC, ("--json", "s.jsonl"), "--json names s.jsonl, where the records go"),
    (SPEC, ("--dask", "nowhere"), "no Dask scheduler answers at nowhere: missing port"),
])
def test_what_cannot_be_is_refused_before_anything_runs(wsekern, tmp_path, monkeypatch, text, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text(text)
    code, out, errors = wsekern("sweep", "s.toml", *arguments)
    assert code == 2 and not out and said in errors and len(errors.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]

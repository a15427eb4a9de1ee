"""``wsekern doctor``: what this computer offers, and what it says where something is missing."""

import json

from wsekern.cli import doctor


def test_doctor_finds_what_there_is(wsekern):
    code, output, errors = wsekern("doctor", "--json", "-")
    found = json.loads(output)
    assert code == 0 and not errors
    assert found["kernels"] == "work: both engines agree"
    assert found["simd"].split()[0] in ("base", "avx2", "avx512") and "GB free" in found["memory"]


def test_doctor_says_what_to_install(monkeypatch):
    lines = ['numpy>=1.26', 'pyarrow>=17; extra == "parquet"', 'torch==2.13.0 ; extra == "train"', 'pytest; extra == "test"']
    monkeypatch.setattr(doctor, "_stated", lambda: lines)
    monkeypatch.setattr(doctor, "_version", lambda name: "1" if name == "pyarrow" else "")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor.diagnosis()
    assert found["compiler"].startswith("none") and found["extra parquet"] == "installed" and "extra test" not in found
    assert found["extra train"] == 'torch missing: type `pip install "wsekern[train]"`'

"""Machine descriptions: the bundled ones load, bad ones are refused with their place."""

from importlib.resources import files

import pytest

from wsekern.errors import InputError
from wsekern.machine import bundled_machines, load_machine


@pytest.fixture
def text() -> str:
    return (files("wsekern.machine") / "data" / "wse2.toml").read_text()


def test_bundled_machines_load():
    assert bundled_machines() == ["wse1", "wse2", "wse3"]
    for name in bundled_machines():
        machine = load_machine(name)
        assert machine.name == name
        assert set(machine.profiles) == {"vendor-simulator", "silicon"}


def test_own_file_loads(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "wse2"', 'name = "mine"'))
    assert load_machine(path).name == "mine"


@pytest.mark.parametrize(("old", "new", "place"), [
    ("hop_latency = {", "hop_latencie = {", "fabric"),
    ('value = 850000000, unit = "Hz"', 'value = -1, unit = "Hz"', "clock"),
    ('value = 850000000, unit = "Hz", ', "value = 850000000, ", "clock"),
    ('value = 850000000, unit = "Hz"', 'value = 850000000, unit = "MHz"', "clock"),
    ('value = 850000000, unit = "Hz"', 'value = "fast", unit = "Hz"', "clock"),
    ('value = 850000000, unit = "Hz"', 'value = nan, unit = "Hz"', "clock"),
    ('[core]', '[core', "TOML"),
])
def test_bad_description_is_refused_with_its_place(tmp_path, text, old, new, place):
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=place) as error:
        load_machine(path)
    assert "\n" not in str(error.value) and "bad.toml" in str(error.value)


def test_unknown_machine_and_profile():
    with pytest.raises(InputError, match="wse1, wse2, wse3"):
        load_machine("wse9")
    with pytest.raises(InputError, match="vendor-simulator"):
        load_machine("wse2").profile("dream")


@pytest.mark.parametrize("grid", [(0, 4), (4, 0), (751, 4), (4, 995), (-1, 1)])
def test_grid_must_lie_on_the_wafer(grid):
    with pytest.raises(InputError, match="750x994"):
        load_machine("wse2").check_grid(*grid)

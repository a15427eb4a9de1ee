"""Machine descriptions: the bundled ones load, bad ones are refused with their place."""

import re
from importlib.resources import files

import pytest

from wsekern.errors import InputError
from wsekern.machine import Timing, bundled_machines, load_machine


@pytest.fixture
def text() -> str:
    return (files("wsekern.machine") / "data" / "wse2.toml").read_text()


def test_bundled_machines_load():
    assert bundled_machines() == ["wse1", "wse2", "wse3"]
    for name in bundled_machines():
        machine = load_machine(name)
        assert machine.name == name
        assert set(machine.profiles) == {"vendor-simulator", "silicon"}


def test_scalar_code_has_a_cost_everywhere():
    """Softmax and norms are not free on any machine, in any profile."""
    for name in bundled_machines():
        for profile in load_machine(name).profiles.values():
            assert {"divide", "rsqrt", "exp", "scalar", "load_store", "loop", "address"} <= profile.latency.keys()


def test_own_file_loads(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "wse2"', 'name = "mine"'))
    assert load_machine(path).name == "mine"


def test_streams_have_the_set_up_of_memory_where_a_file_says_nothing_else(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text("".join(part for part in re.split(r"(?m)^(?=\[)", text) if "stream_setup" not in part))
    own, bundled = (Timing(load_machine(machine), "silicon", "fp16") for machine in (path, "wse2"))
    assert own.stream_setup("faddh") == own.setup("faddh") == bundled.setup("faddh") == 11
    assert bundled.stream_setup("faddh") == 0
    assert own.stream_setup("lib_exp") == 0


@pytest.mark.parametrize(("old", "new", "place"), [
    ("hop_latency = {", "hop_latencie = {", "fabric"),
    ('value = 850000000, unit = "Hz"', 'value = -1, unit = "Hz"', "clock"),
    ('value = 850000000, unit = "Hz", ', "value = 850000000, ", "clock"),
    ('value = 850000000, unit = "Hz"', 'value = 850000000, unit = "MHz"', "clock"),
    ('value = 850000000, unit = "Hz"', 'value = "fast", unit = "Hz"', "clock"),
    ('value = 850000000, unit = "Hz"', 'value = nan, unit = "Hz"', "clock"),
    ('[core]', '[core', "TOML"),
    ('year = 2021', 'year = 2021\ncolour = 3', "unknown key 'colour'"),
    ('[fabric]\n', '[fabric]\nfoo = 1\n', "fabric: unknown key 'foo'"),
    ('value = 850000000, unit = "Hz", ', 'value = 850000000, ', "clock: key 'unit' is missing"),
    ('unit = "Hz", source = ', 'unit = "Hz", origin = ', "clock"),
    ('confidence = "A" }\nsram_total', 'confidence = "Z" }\nsram_total', "clock.confidence"),
    ("width = { value = 757", "width = { value = 757.5", "fabric: width: .*whole"),
    ("width = { value = 757", "width = { value = 1e300", "fabric: width: .*at most"),
    ("width = { value = 757", "width = { value = 749", "user_width is larger"),
    ("hop_latency = { value = 1", "hop_latency = { value = 0", "fabric: hop_latency: .*at least 1"),
    ("hop_latency = { value = 1", "hop_latency = { value = 9", "fabric: hop_latency: .*at most 8 cycles"),
    ("colors = { value = 24", "colors = { value = 12", "switch_colors: .*0 to 11"),
    ("input_queues = { values = [6, 6", "input_queues = { values = [-6, 6", "core: input_queues: value is -6"),
    ("input_queues = { values = [6, 6, 4, 4, 2, 2, 2, 2]", "input_queues = { values = []", "input_queues is empty"),
    ('2, 2], unit = "wavelets"', '2, 2], unit = "cats"', "unit is 'cats', expected 'wavelets'"),
    ("fmovs = {", "fmovz = {", "core.simd: unknown key 'fmovz'"),
    ("[profiles.silicon.stream_setup]\n",
     '[profiles.silicon.stream_setup]\nfoo = { value = 1, unit = "cycles", source = "x" }\n',
     "profiles.silicon.stream_setup: unknown key 'foo'"),
    ("[profiles.silicon.latency]\n", '[profiles.silicon.latency]\nfoo = { value = 1, unit = "cycles", source = "x" }\n',
     "profiles.silicon.latency: unknown key 'foo'"),
    ("link_frame = { value = 1", "link_frame = { value = 0.5", "link_frame"),
    ("hop_latency = { value = 1", "hop_latency = { value = 1e308", "fabric: hop_latency: .*at most 8 cycles"),
    ("input_queues = { values = [6, 6", "input_queues = { values = [1000000000, 6", "input_queues: value is 1e\\+09"),
    ("input_queues = { values = [6, 6", "input_queues = { values = [99999999999999999999999, 6", "input_queues|TOML"),
    ("year = 2021", "year = 2021\nx = " + 5000 * "[" + 5000 * "]", "nested too deeply|TOML"),
    ("link_words = { value = 1", "link_words = { value = 2", "link_words is more than link_frame"),
])
def test_bad_description_is_refused_with_its_place(tmp_path, text, old, new, place):
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=place) as error:
        load_machine(path)
    assert "\n" not in str(error.value) and "bad.toml" in str(error.value)


def test_unknown_machine_and_profile():
    with pytest.raises(InputError, match="wse1, wse2, wse3"):
        load_machine("wse9")
    with pytest.raises(InputError, match="no machine"):
        load_machine("x" * 5000)
    with pytest.raises(InputError, match="vendor-simulator"):
        load_machine("wse2").profile("dream")


@pytest.mark.parametrize("grid", [(0, 4), (4, 0), (751, 4), (4, 995), (-1, 1)])
def test_grid_must_lie_on_the_wafer(grid):
    with pytest.raises(InputError, match="750x994"):
        load_machine("wse2").check_grid(*grid)


def test_power_grows_with_the_share_of_the_pes_that_work():
    system = load_machine("wse3").system
    full, idle = float(system.power), float(system.idle_fraction)
    assert system.watts(0.0) == idle * full and system.watts(1.0) == full
    assert system.watts(0.5) == float(system.half_load_fraction) * full
    shares = [0.01 * share for share in range(101)]
    assert [system.watts(share) for share in shares] == sorted(system.watts(share) for share in shares)
    assert [sentence.partition(": ")[0] for sentence in system.describe_power()] == [
        "power 23.0 kW a system where all PEs work", "power 17.2 kW a system where half of the PEs work",
        "power 11.5 kW a system where none works"]


def test_half_load_is_halfway_unless_stated(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("half_load_fraction")))
    system = load_machine(path).system
    assert system.half_load_fraction is None
    assert system.watts(0.5) == pytest.approx(0.5 * (system.watts(0.0) + system.watts(1.0)))
    assert system.describe_power()[1].endswith("halfway, as nothing else is stated")


def test_half_load_below_idle_is_refused(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("half_load_fraction = { value = 0.75", "half_load_fraction = { value = 0.25"))
    with pytest.raises(InputError, match=r"half_load_fraction is less than system\.idle_fraction"):
        load_machine(path)

"""Plan files: what is written is read back as it was, a choice may be changed, and what cannot be is refused."""

import pytest

from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.planning.plan_file import load_plan, plan_text, planned_config
from wsekern.planning.service import Service, Share, plan_service
from wsekern.workload import Request
from wsekern.workload.popularity import ExpertLaw

MIX = (Share(100, 50), Share(150, 20, 0.25))


@pytest.fixture(scope="module")
def text():
    plan = plan_service(planned_config("sample"), load_machine("wse3"), Service(256, 1, 2, MIX), (1,), "fp32")
    return plan_text("sample", "wse3", plan.chosen)


@pytest.fixture
def read(tmp_path):
    """A plan file with the given text, read."""
    path = tmp_path / "plan.toml"

    def load(text: str):
        path.write_text(text)
        return load_plan(path)

    return load


def test_a_plan_is_read_back_as_it_was_written(text, read):
    plan = read(text)
    assert plan_text(plan.model, plan.machine, plan.offer) == text
    found = plan_service(planned_config("sample"), load_machine("wse3"), Service(256, 1, 2, MIX), (1,), "fp32").chosen
    assert plan.offer.service == found.service and plan.placement.shapes == found.placement.shapes
    assert plan.offer.speed == found.speed and plan.offer.total == found.total


def test_a_changed_choice_is_kept(text, read):
    before = read(text)
    slow = read(text.replace('activations = "vector"', 'activations = "scalar"'))
    assert slow.placement.mapping.form == "scalar" and slow.offer.speed < before.offer.speed
    assert read(text.replace('"zipf:0.9"', '"uniform"')).placement.mapping.expert_law == ExpertLaw(0.0)
    shape = before.placement.shapes[0]
    wider = read(text.replace(f"\nwidth = {shape.width}\nheight = {shape.height}\nlayers",
                              f"\nwidth = {shape.width + 3}\nheight = {shape.height}\nlayers"))
    assert wider.placement.width == shape.width + 3 and wider.placement.rectangles[0].width == shape.width + 3


def test_files_are_named_by_their_whole_path(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a model").mkdir()
    plan = plan_service(planned_config("sample"), load_machine("wse3"), Service(256, 1, 1, MIX), (1,), "fp32")
    assert f'model = "{tmp_path}/a model"' in plan_text("a model", "wse3", plan.chosen)


@pytest.mark.parametrize(("old", "new", "words"), [
    ("wafers = 1", "wafers = 0", "wafers is 0"),
    ("expert_wafers = 1", "expert_wafers = 2", "multiple of expert_wafers"),
    ("wafers = 1", "wafres = 1", "unknown key 'wafres'"), ('norms = "', 'norms = "un', "programs: norms is 'un"),
    ("norms = ", "norm = ", "programs: unknown key 'norm'"),
    ("position_blocks = 1", "position_blocks = -1", "position_blocks is -1"),
    ("count = ", "count = 1", "layers, fairy-tales has"), ("count = ", "count = -", "count is -"),
    ("[head]\nwidth = ", "[head]\nwidth = 9", "does not lie on wse3"),
    ("  # whose caches", "00000  # whose caches", "does not fit wse3: a PE would need .* B of 49,152 B .matrices of attention"),
    ('precision = "fp32"', 'precision = "fp8"', "fp8"), ('mix = ["100', 'mix = ["x100', "mix is"),
    ("context = 256", "context = 1", "context is 1"), ('profile = "silicon"', 'profile = "gold"', "gold"),
    ('model = "sample"', 'model = "nobody"', "no model 'nobody'"), ('machine = "wse3"', 'machine = "wse9"', "wse9"),
    ('weight_precision = ""', 'weight_precision = "joy"', "joy"), ('activations = "vector"', 'activations = "slow"', "slow"),
    ("[service]", "[[service]]", "expected a table"), ('"zipf:0.9"', '"zipf:x"', "a number from 0 to 10"),
    ("expert_wafers = 1", "expert_wafers = 0", "expert_wafers is 0"),
])
def test_what_cannot_be_is_refused_in_one_sentence(text, read, old, new, words):
    assert old in text
    with pytest.raises(InputError, match=words) as refusal:
        read(text.replace(old, new, 1))
    assert "\n" not in str(refusal.value) and "plan.toml: " in str(refusal.value)


def test_a_million_users_wait_where_a_plan_holds_few(text, read):
    served = read(text).placement.serving(Request(100, 50, 10**6, "fp32"))
    assert 1 <= served.users_inside < 10**6 and all(mapping.fits(served.machine) for mapping in served.mappings)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[[[[", b"model = 1", b"a = " + b"[" * 5000])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"plan\.toml"):
        load_plan(path)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_plan(tmp_path / "nothing.toml")

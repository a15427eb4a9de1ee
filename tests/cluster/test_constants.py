"""Constants are data: each has unit, source and confidence, is read by the code, and is replaced only inside a block."""

import threading
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

import wsekern
from wsekern.calibration.engines import changed
from wsekern.cluster import engine_levels, load_gpu, predict
from wsekern.cluster.constants import Constants, constants
from wsekern.cluster.layout import cache_bytes
from wsekern.cluster.parameters import Fits, fits, gemm_parameters
from wsekern.cluster.precision import PRECISIONS
from wsekern.description import load_description
from wsekern.errors import InputError
from wsekern.workload import load_config

LLAMA = load_config("llama3-8b")
SHIPPED = files("wsekern.cluster") / "data" / "model.toml"


def with_constants(**values):
    return constants.replaced(changed(constants(), values))


def test_every_constant_is_sourced_and_read_by_the_code():
    code = "\n".join(path.read_text() for path in Path(wsekern.__file__).parent.rglob("*.py")
                     if path.name != "constants.py")
    for name in Constants.__struct_fields__:
        quantity = getattr(constants(), name)
        assert quantity.source.strip() and quantity.unit and quantity.confidence in "ABCI", name
        assert f".{name}" in code, f"{name} is read nowhere"


@pytest.mark.parametrize(("old", "new", "message"), [
    ('unit = "tokens"', 'unit = "words"', "unit is 'words', expected 'tokens'"),
    ("memory_share = { value = 0.9", "memory_share = { value = 1.9", "expected at most 1"),
    ("page_tokens = { value = 16", "page_tokens = { value = 16.5", "expected a whole number"),
    ("page_tokens", "pages", "unknown key 'pages'"),
])
def test_a_bad_file_is_refused_with_its_place(tmp_path, old, new, message):
    text = SHIPPED.read_text()
    assert old in text
    (tmp_path / "model.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_description(tmp_path / "model.toml", Constants)


def test_another_constant_is_used_inside_its_block_only():
    before = predict(LLAMA, "h100x1", context=512)
    with with_constants(memory_share=0.5):
        inside = predict(LLAMA, "h100x1", context=512)
        with with_constants(memory_share=0.6):
            assert predict(LLAMA, "h100x1", context=512).memory_available_bytes > inside.memory_available_bytes
        assert predict(LLAMA, "h100x1", context=512) == inside
    assert inside.memory_available_bytes == pytest.approx(before.memory_available_bytes * 0.5 / 0.9)
    assert predict(LLAMA, "h100x1", context=512) == before


def test_a_block_ends_with_an_error_too():
    shipped = constants()
    with pytest.raises(KeyError), with_constants(memory_share=0.5):
        raise KeyError
    assert constants() is shipped


def test_other_threads_keep_what_is_shipped():
    seen = []
    with with_constants(page_tokens=64):
        thread = threading.Thread(target=lambda: seen.append(cache_bytes(LLAMA, PRECISIONS["bf16"], 1)))
        thread.start()
        thread.join()
        assert cache_bytes(LLAMA, PRECISIONS["bf16"], 1) == 4 * seen[0]


def test_caches_keep_replaced_values_apart():
    mixtral = load_config("mixtral-8x7b")
    names = {"popularity_exponent": 0.0, "unpacking_8_bit": 0.4, "small_kernel_bandwidth": 0.1, "another_family": 0.0}
    plain = predict(mixtral, "b200x1", precision="int8", context=512)
    for name, value in names.items():
        with with_constants(**{name: value}):
            assert predict(mixtral, "b200x1", precision="int8", context=512) != plain, name
        assert predict(mixtral, "b200x1", precision="int8", context=512) == plain, name


def test_engine_levels_and_fits_are_replaced_and_never_changed():
    stock = engine_levels()["stock"]
    with pytest.raises(TypeError):
        engine_levels()["stock"] = stock
    before = predict(LLAMA, "h100x1", context=512).seconds
    with engine_levels.replaced({"stock": changed(stock, {"per_step": 1.0})}):
        assert predict(LLAMA, "h100x1", context=512).seconds > 1.0
    half = [{**entry, "parameters": {**entry["parameters"], "memory": entry["parameters"].get("memory", 1.0) / 2}}
            for entry in fits().entries]
    with fits.replaced(Fits(half)):
        assert predict(LLAMA, "h100x1", context=512).seconds > 1.3 * before
    assert predict(LLAMA, "h100x1", context=512).seconds == before


def test_weight_only_kernels_unpack():
    def bandwidth(weight):
        return gemm_parameters(load_gpu("h100"), ("vllm",), "bf16", 1.0, weight)["memory"]

    assert bandwidth(1.0) == bandwidth(2.0) * constants().unpacking_8_bit.value
    assert bandwidth(0.5625) == bandwidth(2.0) * constants().unpacking_4_bit.value
    assert bandwidth(0.53125) == bandwidth(0.5625)


def test_waiting_power_is_assumed_where_a_gpu_states_none():
    power = load_gpu("h100").power
    assert power.waiting == float(power.waiting_fraction)
    unstated = msgspec.structs.replace(power, waiting_fraction=None)
    assert unstated.waiting == constants().waiting_power.value * float(power.low_fraction)
    assert power.latency == float(power.latency_fraction)
    unstated = msgspec.structs.replace(power, latency_fraction=None)
    way = constants().latency_power.value * (float(power.low_fraction) - power.waiting)
    assert unstated.latency == power.waiting + way

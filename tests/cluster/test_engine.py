"""Engine levels by name, and levels with a setting: eager launches, whole prompts."""

import pytest

from wsekern.cluster import engine_levels, predict, serve
from wsekern.cluster.engine import SETTINGS, level_name, load_engine, without_chunks, without_graphs
from wsekern.errors import InputError
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-8b")


def test_products_name_their_newest_level():
    assert load_engine("vllm") is load_engine("stock") and load_engine("vllm-eager") == load_engine("stock-eager")
    assert load_engine("vllm-2024") is load_engine("stock-2024") and level_name("trtllm-eager") == "tuned-eager"
    assert load_engine("trtllm").title == engine_levels()["tuned"].title


@pytest.mark.parametrize("level", list(engine_levels()))
def test_every_level_can_be_eager(level):
    engine, eager = load_engine(level), load_engine(f"{level}-eager")
    assert without_graphs(eager) == eager
    if level in ("ideal", "eager"):
        assert eager == engine
        return
    assert not eager.graphs and "eager" in eager.title and float(eager.launch) == float(engine_levels()["eager"].launch)
    assert float(eager.per_step) == float(engine.per_step) and eager.kernels == engine.kernels
    for phase in ("decode", "prefill"):
        plain, launched = (predict(LLAMA, "h100x2", phase=phase, context=256, engine_level=name).seconds
                           for name in (engine, eager))
        assert launched >= plain or phase == "prefill"
    assert predict(LLAMA, "h100x2", context=256, engine_level=eager).breakdown["engine"] > 5e-3


def test_launches_hide_behind_long_kernels():
    """A step that streams for longer than the host launches takes no longer without graphs."""
    large = load_config("llama3-70b")
    plain, eager = (predict(large, "h100x2", context=512, batch=1, engine_level=level, tp=2)
                    for level in ("graph", "graph-eager"))
    assert eager.breakdown["engine"] < 0.2 * eager.seconds
    assert eager.seconds == pytest.approx(plain.seconds, rel=0.2)


def test_whole_prompts_do_not_ride_along():
    engine = load_engine("stock-unchunked")
    assert not engine.chunked and without_chunks(engine) == engine == load_engine("stock-unchunked-unchunked")
    assert load_engine("sglang-unchunked") == load_engine("sglang")
    request = Request(4096, 64, 16, "bf16")
    assert serve(LLAMA, request, "h100x1", engine_level=engine).to_dict() != serve(LLAMA, request, "h100x1").to_dict()


@pytest.mark.parametrize("level", ["abacus", "-eager", "stock-", "stock-lazy", "abacus-eager", ""])
def test_unknown_levels_are_refused_with_those_that_exist(level):
    with pytest.raises(InputError, match="such as stock-eager"):
        load_engine(level)


def test_settings_are_functions_of_a_level():
    assert set(SETTINGS) == {"eager", "unchunked"}

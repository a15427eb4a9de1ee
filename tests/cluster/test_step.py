"""Steps that are asked for often are told by formulas, which say what the plain sums say."""

import pytest

from wsekern.cluster import load_cluster
from wsekern.cluster import step as steps
from wsekern.cluster.constants import constants
from wsekern.cluster.deploy import resolve
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.operators import Operators
from wsekern.cluster.work import Work
from wsekern.workload import load_config


def deployment(model: str, cluster: str, layout: Layout) -> Deployment:
    """On software as published."""
    alone = resolve(load_config(model), cluster, "fp8", "stock")
    return Deployment(alone.model, load_cluster(cluster), layout, alone.precision, alone.engine)


@pytest.mark.parametrize("model, cluster, layout", [
    ("llama3-8b", "h100x8", Layout(tp=2)), ("gpt-oss-120b", "h100x8", Layout(tp=2, dp=4, ep=8)),
    ("deepseek-v3.2", "gb200x72", Layout(tp=4, pp=2)), ("qwen3-next-80b-a3b", "tpu-v6ex8", Layout(tp=4)),
    ("llama3-8b", "groq-lpu1x576", Layout(tp=8, pp=32)), ("mixtral-8x7b", "l40sx8", Layout(tp=8))])
def test_formulas_of_a_step_say_what_the_plain_sums_say(model, cluster, layout, monkeypatch):
    monkeypatch.setattr(steps, "TRACING", 0)
    laid_out = deployment(model, cluster, layout)
    works = [Work(tokens, min(tokens, 16.0), context, prefill, ranks=ranks) for prefill, ranks in ((False, 1.0), (True, 0.5))
             for tokens in (1.0, 3.3, 16.0, 700.5) for context in (1.0, 900.0, 130000.5)]
    for work in works:
        assert steps.forward(laid_out, work) == steps._forward(laid_out, work, Operators(laid_out))
    assert len(steps._formulas(laid_out, True, False).ways) < len(works) // 2
    with constants.replaced(constants()):
        assert steps.forward(laid_out, works[0]) == steps._forward(laid_out, works[0], Operators(laid_out))

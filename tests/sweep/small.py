"""A sweep whose points differ in prices alone: one placement for all of them."""

from wsekern.sweep.axes import Range
from wsekern.sweep.spec import Plan, Spec, plan_of

INPUTS = {"model": "qwen3-0.6b", "wafers": 1, "prompt": 64, "output": 16}


def priced(count: int) -> Plan:
    """``count`` prices of a GPU."""
    return plan_of(Spec(inputs=INPUTS, grid={"gpu.price.per_hour": Range(1.0, 40.0, count, "log")}))

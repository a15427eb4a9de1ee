"""Queues of requests before a system that serves them, event by event: knows times and tokens, neither wafers nor GPUs."""

from wsekern.queueing.outcome import Outcome
from wsekern.queueing.pipeline import LineCosts, simulate_line
from wsekern.queueing.steady_line import SteadyLine, steady_line
from wsekern.queueing.traffic import Traffic

__all__ = ["LineCosts", "Outcome", "SteadyLine", "Traffic", "simulate_line", "steady_line"]

"""Queues of requests before a system that serves them, event by event: knows times and tokens, neither wafers nor GPUs."""

from wsekern.queueing.batching import StepCosts, simulate_batching
from wsekern.queueing.outcome import Outcome
from wsekern.queueing.pipeline import LineCosts, simulate_line
from wsekern.queueing.steady_line import SteadyLine, steady_line
from wsekern.queueing.traffic import Traffic

__all__ = ["LineCosts", "Outcome", "SteadyLine", "StepCosts", "Traffic", "simulate_batching", "simulate_line", "steady_line"]

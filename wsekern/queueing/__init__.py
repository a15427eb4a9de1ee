"""Queues of requests before a system that serves them, event by event: knows times and tokens, neither wafers nor GPUs."""

from wsekern.queueing.outcome import Outcome
from wsekern.queueing.traffic import Traffic

__all__ = ["Outcome", "Traffic"]

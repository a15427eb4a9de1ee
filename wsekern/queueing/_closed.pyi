from wsekern.queueing.batching import StepCosts

class Turn:
    away: float
    held: float
    full: float
    def __init__(self, costs: StepCosts, prompt: float, output: float, think_seconds: float) -> None: ...
    def settle(self, users: float) -> tuple[float, float, float, float, float, float]: ...

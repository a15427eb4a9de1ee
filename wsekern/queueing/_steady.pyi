from wsekern.queueing.pipeline import LineCosts

CLOSE: float
ROUNDS: int

def figures_of(
    costs: LineCosts, users: int, prompt: int, output: int, think: float, inside: int | None
) -> tuple[float, float, float, float, float, float]: ...

"""Steps that depend on which experts tokens chose: listed for the fullest block of lines, which is known behind the router."""

from wsekern.inference.steps import Steps, Values, View
from wsekern.ops.repeated import Repeated
from wsekern.workload.popularity import block_counts


def at_choice(steps: Steps) -> tuple[int | None, View | None]:
    """Number of the step that deals the experts chosen to blocks, and the step; None where no step does. What stands before it
    is the same for all choices."""
    return next(((number, step) for number, step in enumerate(steps) if isinstance(step, View) and step.kind == "deal"),
                (None, None))


def load_of(step: View, values: Values) -> int:
    """How many experts of a token lie on the block that has most of them, as every PE finds it before it deals them."""
    tokens, _, blocks = step.sizes
    chosen = Repeated.of(values[step.inputs[0]]).tiles[0, 0]
    return int(block_counts(chosen.reshape(tokens, -1), blocks).max())

"""Programs as readable text that parses back."""

from wsekern.program.instructions import Instruction, Label, Scalar


def instruction_text(item: Instruction) -> str:
    """One instruction as a line."""
    if isinstance(item, Label):
        return f"{item.name}:"
    return item.form if isinstance(item, Scalar) else item.name

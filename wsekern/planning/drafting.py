"""What a draft takes on wafers: the model's own first layers where they lie, or a smaller model on wafers of its own."""

from dataclasses import dataclass

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Recurrent
from wsekern.workload.speculation import Speculation


@dataclass(frozen=True)
class DraftCosts:
    """Times of a draft, all 0 where the host makes it."""

    seconds: float = 0.0
    """From a token to the one that is drafted behind it."""
    busy_seconds: float = 0.0
    """Of the busiest region that drafts, for each token that is checked; of the head where that drafts too."""
    in_line: bool = False
    """Whether what drafts stands in the line of those that check, and waits for what they have to do."""
    crossing_seconds: float = 0.0
    """More of each pass in links between wafers."""
    pe_seconds: float = 0.0
    """PEs at work, times the seconds for which they are, for each token that is checked."""


def check_speculation(config: ModelConfig, speculation: Speculation | None) -> None:
    """Refuse a draft that cannot be one for ``config``, and a model that cannot go back behind what is not accepted."""
    if speculation is None:
        return
    speculation.draft.check(config)
    for model in (config, speculation.draft.model):
        if model is not None and any(isinstance(mixer, Recurrent) for block in model.blocks for mixer in block.mixers):
            raise InputError(f"{model.name} has recurrent layers, whose state cannot go back behind a token that is not "
                             "accepted: wafers cannot draft or check tokens with it")

"""The time of one phase of a model on a placement, region by region, without the load of other users."""

from typing import Any

from wsekern.description import check_clock
from wsekern.planning.binding import binding
from wsekern.planning.bound import bound
from wsekern.planning.layout import Placement
from wsekern.workload.request import Request


def predict_plan(placement: Placement, phase: str, context: int, batch: int = 1, clock: float | None = None) -> dict[str, Any]:
    """Seconds and tokens/s of ``phase`` (``decode``: a token of each of ``batch`` users who have ``context`` tokens in the
    cache; ``prefill``: their prompts of ``context`` tokens) on ``placement``, at ``clock`` (Hz; None: the machine's).

    ``cycles`` are those of a lone user's token or prompt from end to end, crossings between wafers included; beside them the
    bound of a token, the share of it that is reached, and what binds.
    """
    check_clock(clock)
    asked = asked_of(placement, context, batch)
    mapping, own = asked.mapping, float(asked.machine.clock)
    rate = own if clock is None else clock
    decode = asked.decode()
    limit = bound(asked.config, asked.machine, context, asked.profile, mapping.precision, mapping.weight_precision,
                  mapping.cache_precision)
    if phase == "decode":
        seconds = decode.cycles / own + asked.crossing_seconds(asked.checked)
        tokens = batch / asked.steady.time_per_output_token_seconds if batch > 1 else 1.0 / seconds
    else:
        seconds = asked.lone.time_to_first_token_seconds
        tokens = batch * context / asked.first_token_seconds()
    return {"model": asked.config.name, "phase": phase, "machine": asked.machine.name, "profile": asked.profile,
            "mapping": "plan", "wafers": asked.wafers, "regions": asked.regions, "context": context, "batch": batch,
            "precision": mapping.precision, "activations": mapping.form, "cycles": seconds * own, "clock_hertz": rate,
            "seconds": seconds * own / rate, "tokens_per_second": tokens * rate / own,
            "cycles_per_layer": decode.cycles / asked.config.layers, "breakdown": decode.breakdown,
            "bound_tokens_per_second": limit.tokens_per_second * rate / own,
            "share_of_bound": own / (decode.cycles + own * asked.crossing_seconds(asked.checked)) / limit.tokens_per_second,
            "binds": binding(asked, limit).sentence(), "memory_bytes": mapping.memory}


def asked_of(placement: Placement, context: int, batch: int) -> Placement:
    """``placement`` before ``batch`` users with prompts of ``context`` tokens."""
    return placement.serving(Request(context, 1, batch, placement.request.precision))

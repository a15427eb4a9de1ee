"""What a placement takes for granted of drafts, in words."""

from wsekern.planning.layout import Placement


def speculation_assumptions(placement: Placement) -> list[str]:
    """What is stated of drafts, a sentence each."""
    speculation, own, drafting = placement.speculation, placement.draft, placement.drafting
    if speculation is None:
        return []
    draft = speculation.draft
    takes = f": {1e6 * drafting.seconds:.3g} us a token" if drafting.seconds else ""
    more = placement.all_wafers - placement.wafers
    where = ", which lie where they do and pass a token on to those behind them" if draft.layers else ""
    if own is not None:
        where = (f", on {own.regions} regions of {own.width}x{own.height} PEs of its own, "
                 f"{f'on {more} more' if more else 'beside the others on their'} wafer{'s' if max(more, 1) > 1 else ''}")
    return [speculation.assumption(), f"a draft {draft.describe()}{where}{takes}",
            f"tokens to be checked follow each other through {placement.regions} regions"]

"""What a number of wafers that is asked for costs one user, beside the fewest that hold the request."""

from dataclasses import replace

from wsekern.compare.side import Side
from wsekern.machine import Machine


def with_note(forced: Side, fewest: Side, machine: Machine) -> Side:
    """``forced``, with one more assumption where it answers a request later than the ``fewest`` wafers that hold it."""
    times = [side.request_seconds for side in (forced, fewest)]
    if times[0] <= times[1] or forced.facts["wafers"] == fewest.facts["wafers"]:
        return forced
    slow, quick = (f"{1e3 * seconds:,.4g} ms" for seconds in times)
    note = (f"{forced.facts['wafers']} wafers were asked for and answer a request in {slow}, the fewest that hold it "
            f"({fewest.facts['wafers']}) in {quick}: a token pays {float(machine.system.io_latency) * 1e6:g} us for each wafer "
            "on its way")
    return replace(forced, assumptions=[*forced.assumptions, note])

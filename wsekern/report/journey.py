"""The journey of a request as a picture: chunks of the prompt and tokens through regions and wafers."""

from typing import Any

from wsekern.planning.journey import Journey
from wsekern.report.pictures import new_figure
from wsekern.report.words import seconds

COLORS = {"prompt": "#5fbf9f", "tokens of the answer": "#e69f00", "links between wafers": "#cc79a7"}
"""As on pages (Okabe and Ito)."""


def journey_figure(journey: Journey) -> Any:
    """A lane for each region as a matplotlib figure: the whole prompt, and beside it one token alone."""
    names = [stop.name for stop in journey.stops]
    figure = new_figure((11, 1.4 + 0.22 * len(names)))
    whole, token = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    begin = journey.first_token_seconds
    for visit in journey.visits():
        kind = "links between wafers" if visit.crossing else "prompt" if visit.passed.prompt else "tokens of the answer"
        whole.barh(visit.stop, 1e3 * visit.seconds, 0.8, 1e3 * visit.start, color=COLORS[kind], edgecolor="white",
                   linewidth=0.4)
        if not visit.passed.prompt and visit.passed.first == 1:
            token.barh(visit.stop, 1e6 * visit.seconds, 0.8, 1e6 * (visit.start - begin), color=COLORS[kind])
    whole.set_yticks(range(len(names)), names, fontsize=8)
    whole.invert_yaxis()
    lone = journey.lone
    whole.set(xlabel="milliseconds since the prompt came",
              title=f"{lone.request.prompt:,} prompt tokens in chunks of {journey.passes[0].tokens}: {seconds(begin)}")
    token.set(xlabel="microseconds since the first token", title=f"one token: {seconds(journey.token_seconds)}")
    figure.suptitle(f"{lone.config.name} on {lone.wafers} x {lone.machine.title}", fontsize=11)
    return figure

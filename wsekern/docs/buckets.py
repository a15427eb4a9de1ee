"""The staircase of a compiled machine: time of a decoding step over the sequences in it, beside GPUs."""

import numpy as np

from wsekern.cluster import load_cluster
from wsekern.cluster.deploy import deploy
from wsekern.cluster.step import decode_step
from wsekern.docs.pages import Picture
from wsekern.docs.picture import GPU, SETTINGS, WAFER, labels_of, svg_text
from wsekern.workload import load_config

MODEL, CONTEXT, MACHINES = "llama3-70b", 2048, (("tpu7x-8", WAFER), ("h200x8", GPU))
MOST = 144
"""Sequences up to which steps are shown."""


def step_milliseconds(machine: str, sequences: int) -> float:
    """Milliseconds of a decoding step of :data:`MODEL`."""
    found = deploy(load_config(MODEL), load_cluster(machine), context=CONTEXT, batch=sequences, precision="fp8")
    return 1e3 * decode_step(found, sequences, CONTEXT).seconds


def draw_buckets() -> str:
    """The picture as SVG text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(7.5, 3.6), facecolor="white")
        axes = figure.add_subplot(xlabel=f"sequences in a decoding step ({MODEL}, fp8, {CONTEXT:,} tokens each)",
                                  ylabel="ms a step", xlim=(0, MOST))
        for machine, color in MACHINES:
            sequences = np.arange(1, MOST + 1)
            axes.plot(sequences, [step_milliseconds(machine, int(each)) for each in sequences], color=color, label=machine)
        axes.set_ylim(bottom=0.0)
        axes.legend()
        figure.tight_layout()
        return svg_text(figure)


PICTURE = Picture("docs/buckets.svg", draw_buckets, labels_of)

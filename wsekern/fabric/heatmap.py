"""Heat maps of link use, over the wafer and over time (needs matplotlib)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError, check_whole
from wsekern.fabric.routes import Port
from wsekern.fabric.simulation import Fabric
from wsekern.output import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHADES = " .:-=+*#%@"


MOST_FRAMES = 120
"""Frames of an animation; of more stretches, as many together as make no more."""
FRAMES_A_SECOND = 8


def link_use(fabric: Fabric, since: NDArray[np.uint32] | None = None) -> NDArray[np.uint32]:
    """Words that left each router over its four links since reset, (height, width); ``since``: an earlier use."""
    use = sum(fabric.link_counts(port) for port in Port if port != Port.RAMP)
    return use if since is None else use - since


def record_use(fabric: Fabric, cycles: int, every: int) -> NDArray[np.uint32]:
    """Step ``cycles`` cycles; link use of each stretch of ``every`` cycles: (stretches, height, width).

    The last stretch may be shorter.
    """
    check_whole(cycles, "cycles to record", 1)
    check_whole(every, "cycles in a stretch", 1)
    frames, before = [], link_use(fabric)
    for start in range(0, cycles, every):
        fabric.step(min(every, cycles - start))
        after = link_use(fabric)
        frames.append(after - before)
        before = after
    return np.stack(frames)


def _check_use(use: NDArray[np.uint32], dimensions: tuple[int, ...]) -> None:
    if np.ndim(use) not in dimensions or not np.size(use):
        raise InputError(f"link use of shape {np.shape(use)}: expected (height, width)"
                         + (" or (stretches, height, width)" if 3 in dimensions else ""))


def text_heatmap(use: NDArray[np.uint32]) -> str:
    """A heat map in characters, one per PE, from blank (unused) to ``@`` (the busiest)."""
    _check_use(use, (2,))
    most = max(int(use.max()), 1)
    shades = np.array(list(SHADES))[-(-use.astype(np.int64) * (len(SHADES) - 1) // most)]
    return "\n".join("".join(row) for row in shades)


def plot_heatmap(use: NDArray[np.uint32], title: str = "Words sent over links, per router", label: str = "words") -> Figure:
    """Link use (or any number per PE) over the wafer; for stretches of time (:func:`record_use`) also the total over time."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("heat maps need matplotlib: pip install matplotlib") from None
    _check_use(use, (2, 3))
    over_time = use.ndim == 3
    figure = Figure(figsize=(10 if over_time else 6, 5), layout="constrained")
    axes = figure.subplots(1, 2 if over_time else 1, squeeze=False)[0]
    image = axes[0].imshow(use.sum(axis=0) if over_time else use, interpolation="nearest", aspect="auto", cmap="magma", vmin=0)
    for axis in (axes[0].xaxis, axes[0].yaxis):
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)       # there is no half a PE
    axes[0].set(title=title, xlabel="column (x)", ylabel="row (y)")
    figure.colorbar(image, ax=axes[0], label=label)
    if over_time:
        axes[1].plot(use.sum(axis=(1, 2)))
        axes[1].set(title="Over time", xlabel="stretch", ylabel="words in all links")
    return figure


def animate_heatmap(use: NDArray[np.uint32], path: str | os.PathLike[str], titles: Sequence[str] = (),
                    label: str = "words") -> int:
    """Write link use of stretches of time (stretches, height, width) as an animated GIF, all frames on one scale; returns the
    number of frames. ``titles``: one for each stretch."""
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure

    _check_use(use, (2, 3))
    use = use if use.ndim == 3 else use[None]
    step = -(-len(use) // MOST_FRAMES)
    figure = Figure(figsize=(6, 5), dpi=80)  # whose places are set once, not for every frame
    axes = figure.subplots()
    image = axes.imshow(use[0], interpolation="nearest", aspect="auto", cmap="magma", vmin=0,
                        vmax=max(1, int(max(use[first:first + step].sum(axis=0).max() for first in range(0, len(use), step)))))
    figure.colorbar(image, ax=axes, label=label)
    axes.set(xlabel="column (x)", ylabel="row (y)")
    with tempfile.TemporaryDirectory() as folder:
        whole, writer = Path(folder, "use.gif"), PillowWriter(fps=FRAMES_A_SECOND)
        with writer.saving(figure, whole, dpi=80):
            for first in range(0, len(use), step):
                image.set_data(use[first:first + step].sum(axis=0))
                axes.set_title(titles[first] if titles else f"stretch {first + 1}")
                writer.grab_frame()
        write_file(path, whole.read_bytes())
    return -(-len(use) // step)

"""Programs for the simulated wafer, from a scalar loop on one PE to whole-wafer products; each is checked against numpy.

``python -m wsekern.examples`` runs them; :data:`EXAMPLES` lists them; their sources are meant to be read.
"""

from importlib import import_module

from wsekern.interrupts import leaving_quietly

with leaving_quietly():
    from wsekern.examples.registry import EXAMPLES, FEATURES, TIERS, Example, Outcome, chosen

_MODULES = (
    "single_pe",
    "products",
    "residual",
    "life",
    "transfers",
    "streams",
    "uneven",
    "streamed_products",
    "sparse",
    "fifos",
    "mesh_gemv",
    "stencil_7pt",
    "conjugate_gradient",
    "regions",
    "ring_all_reduce",
    "mesh_gemm",
    "switches",
    "sentinels",
    "demultiplex",
    "stencil_25pt",
    "cholesky",
    "filters",
    "fft",
    "rewriting",
    "power_method",
    "hypersparse",
    "color_swap",
)
"""Where the programs are, in order of their tiers."""

with leaving_quietly():
    for _name in _MODULES:
        import_module(f"{__name__}.{_name}")

__all__ = ["EXAMPLES", "FEATURES", "TIERS", "Example", "Outcome", "chosen"]

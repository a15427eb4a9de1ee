"""How tiles and sums are packed into wavelets of 32 bits."""

from dataclasses import dataclass

from wsekern.errors import InputError
from wsekern.machine.timing import Timing


@dataclass(frozen=True)
class LineTraffic:
    """Wavelets of one tile: as a running sum, and as a result."""

    sums: int
    results: int


def tile_packing(timing: Timing) -> int:
    """Elements of a tile in one wavelet: two of any 16-bit precision."""
    return 2 if timing.dtype == "fp16_fp32" else timing.packing


def traffic(timing: Timing, elements: int) -> LineTraffic:
    """Wavelets of a running sum and of a result of ``elements`` elements: a sum in fp16 with fp32 accumulation travels as
    fp32, one element a wavelet; everything else is packed as tightly as its number format allows."""
    wide = timing.dtype == "fp16_fp32"
    return LineTraffic(timing.wavelets(elements, 1) if wide else timing.wavelets(elements),
                       timing.wavelets(elements, tile_packing(timing)))


def check_even(elements: int, timing: Timing, what: str) -> None:
    """Refuse parts of a stream that do not fill their wavelets."""
    if elements % tile_packing(timing):
        raise InputError(f"{what} of {elements} elements of {timing.dtype} fill half of their last wavelet: pad them to "
                         f"{elements + 1}")

"""Numbers in words: three digits and a fitting unit."""


def seconds(value: float) -> str:
    """A duration with three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def amount(value: float) -> str:
    """A number with three digits: 1,234 or 12.3 or 0.0123."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def size(value: float) -> str:
    """A number of bytes."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"

"""Speculative decoding: tokens are drafted, and one pass through the model checks them all."""

from dataclasses import dataclass

from wsekern.errors import InputError

MAX_DRAFTED = 64
"""Drafted tokens at most: engines offer far fewer."""


@dataclass(frozen=True)
class Speculation:
    """``drafted`` tokens before every pass, each accepted with probability ``acceptance`` if all before it were.

    A pass checks them beside its own token and keeps those accepted and one more. The draft itself costs nothing here: n-grams
    of the prompt, or heads on the model whose time is small beside a pass.
    """

    drafted: int
    acceptance: float

    def __post_init__(self) -> None:
        if isinstance(self.drafted, bool) or not isinstance(self.drafted, int) or not 1 <= self.drafted <= MAX_DRAFTED:
            raise InputError(f"drafted is {self.drafted!r}, expected a whole number of at least 1 and at most {MAX_DRAFTED}")
        if not 0.0 <= self.acceptance <= 1.0:
            raise InputError(f"acceptance is {self.acceptance!r}, expected a probability from 0 to 1")

    @property
    def checked(self) -> int:
        """Tokens of one user in a pass."""
        return self.drafted + 1

    @property
    def kept(self) -> float:
        """Tokens that a pass yields on average: 1 + a + a^2 + ... + a^drafted (Leviathan et al. 2023, equation 1)."""
        return sum(self.acceptance**accepted for accepted in range(self.checked))

    def passes(self, output: float) -> float:
        """Passes of an answer of ``output`` tokens on average, that of the prompt (which yields the first token) included."""
        return 1.0 + (output - 1.0) / self.kept

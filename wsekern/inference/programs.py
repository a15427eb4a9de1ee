"""Which program each part of a layer runs, where several give the same model.

Every choice changes the order of operations, and so the last bits of the values: each is executed as it is timed, and has a
plain reference of its own. A :class:`Programs` belongs to a grid (:class:`wsekern.inference.grid.Grid`); regions may differ.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Literal, get_args, get_type_hints

from wsekern.errors import InputError
from wsekern.hashed import HashedOnce
from wsekern.ops.local.rows import Form

MAX_BLOCKS = 4096
"""Sanity limit of blocks of columns: more than a wafer has columns."""


@dataclass(frozen=True)
class Programs(HashedOnce):
    """The choices, by what they change. The defaults compute every value where it is needed and reduce it on its own."""

    norms: Literal["apart", "folded"] = "apart"
    """``folded``: a root-mean-square norm is a factor of the product behind it; the sum of squares rides in its reduction."""
    softmax: Literal["maximum", "bound"] = "maximum"
    """What exponentials are taken relative to: the maximum over all positions (a reduction of its own), or a bound of it that
    every PE knows without one."""
    softmax_sum: Literal["apart", "riding"] = "apart"
    """``riding``: the sum of the exponentials rides in the reduction of the values."""
    local: Literal["redundant", "shared"] = "redundant"
    """``shared``: of an activation that all rows of a column would compute alike, each does a share and gathers the rest, where
    there are enough elements for that to be quicker (:mod:`wsekern.inference.blocks.shared`): in chunks of a prompt."""
    products: Literal["rows", "together"] = "rows"
    """``together``: an instruction of a product, or of sums and maxima of rows, takes several rows and inputs, or all of them,
    where that is quicker and no sum has to be waited for; queries and keys are turned at once. The bits are the same."""
    router: Literal["summed", "gathered"] = "summed"
    """How the scores of a mixture's router, of which each column has some, come to all columns of a copy of it: by a sum of
    tiles that are 0 elsewhere, or by a gather, where copies have so few columns that it is quicker. The bits are the same."""
    shares: Literal["apart", "together"] = "apart"
    """How the shares of a mixture's experts are made of the scores of those chosen: exponentials, their sum and the quotients
    each for itself, or, in 16 bits and where these are so few that it is quicker, in one piece of scalar code."""
    biases: Literal["everywhere", "dealt"] = "everywhere"
    """Where the biases of a mixture's experts lie: on all PEs that hold a feature of the expert, or each on one line of PEs,
    where it is added before the sum over these, for less memory."""
    groups: Literal["root", "odd", "quickest"] = "root"
    """Groups of the PEs of a line in an all-reduce: as many as the root of their number; the odd number nearest to it, whose
    middle group is in the middle of the line; or in the levels, up to four, that are quickest for the line and the words."""
    position_blocks: int = 1
    """Blocks of a key-value head's columns, each with a share of the positions; features are cut over a block's columns."""
    expert_blocks: int = 1
    """Blocks of columns (rows, where experts lie along y), no more than there are of those or of experts; every expert lies on
    one of them. 1: every one over all."""
    router_copies: int = 1
    """Copies of a mixture's router at most: columns are cut into blocks of as many columns, the last one of what is left (half
    as many or more), and each block holds a whole copy."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Reckoned once: programs are parts of many keys."""
        return hash(tuple([getattr(self, field.name) for field in fields(self)]))

    @cached_property
    def of_mixers(self) -> "Programs":
        """Those of mixers, whatever mixtures do."""
        return _without(self, MIXTURES_ALONE)

    @cached_property
    def of_others(self) -> "Programs":
        """Those of all but mixers, whatever these do."""
        return _without(self, MIXERS_ALONE)

    def __post_init__(self) -> None:
        for name, known in _choices().items():
            value = getattr(self, name)
            if known and value not in known:
                raise InputError(f"programs: {name} is {value!r}, use one of {', '.join(known)}")
            if not known and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BLOCKS):
                raise InputError(f"programs: {name} is {value!r}, expected a whole number from 1 to {MAX_BLOCKS}")


@lru_cache(maxsize=1)
def _choices() -> dict[str, tuple[str, ...]]:
    """Values that each field may have; none for a number."""
    return {name: get_args(hint) for name, hint in get_type_hints(Programs).items()}


PLAIN = Programs()
"""Nothing folded, shared or cut."""

MIXERS_ALONE = ("softmax", "softmax_sum", "position_blocks")
"""Choices that change nothing but mixers."""

MIXTURES_ALONE = ("router", "shares", "biases", "expert_blocks", "router_copies")
"""Choices that change nothing but mixtures of experts."""


@lru_cache(maxsize=4096)
def _without(programs: Programs, names: tuple[str, ...]) -> Programs:
    """``programs`` with the defaults of some choices."""
    return replace(programs, **{name: getattr(PLAIN, name) for name in names})


@dataclass(frozen=True)
class ProgramSet:
    """Choices that go together, by the time at which a service could have made them."""

    programs: Programs
    activations: Form | None
    """How SiLU and exponentials are computed; None: the quickest that costs the model nothing."""
    blocks_searched: bool = True
    """Whether the search for a placement may cut heads and experts into blocks, and copy routers."""


PROGRAM_SETS = {
    "2024-08": ProgramSet(Programs(groups="quickest"), "scalar"),
    "default": ProgramSet(Programs(norms="folded", softmax="bound", softmax_sum="riding", local="shared", products="together",
                                   router="gathered", shares="together", biases="dealt", groups="quickest"), None),
}
"""``2024-08``: what public services of August 2024 could run, before kernels were rewritten: activations one element after the
other, nothing folded; what lies where (positions, experts, routers, roots of sums) is chosen as freely as today.
``default``: the quickest of today."""


def program_set(name: str | ProgramSet) -> ProgramSet:
    """The set of that name, or the set itself; :class:`InputError` if there is none."""
    if isinstance(name, ProgramSet):
        return name
    if name not in PROGRAM_SETS:
        raise InputError(f"no program set {name!r}: use one of {', '.join(PROGRAM_SETS)}")
    return PROGRAM_SETS[name]

"""What a schedule is made of: messages from PE to PE, and the steps of PEs."""

from typing import NamedTuple

Buffer = tuple[str, int]
"""Name of a buffer, and the first element in it."""


class Message(NamedTuple):
    """``elements`` elements from the core at ``source`` to all cores that take it in [low, high], or part of such a message.

    Parts are taken one by one where the whole is sent at once, and sent one by one where the whole is taken at once.
    """

    source: int
    low: int
    high: int
    elements: int
    sums: bool
    """Whether it travels as sums do: in fp32 where fp16 is accumulated in fp32."""
    whole: int | None = None
    """The message that this is a part of, beginning at its element ``offset``."""
    offset: int = 0
    multicast: str = ""
    """``line``: to every PE of [low, high]; ``plane``: to every PE of the grid; empty: to one."""
    far: int | None = None
    """Where senders take turns on one color, from near to far: the farthest of them. The router of a sender passes on what
    comes from beyond once its own core's last word has asked it to."""
    hands_over: bool = False
    """Whether it holds that last word."""

    @property
    def route(self) -> tuple[int, int, int, str]:
        """What tells its route from others."""
        if self.far is not None:
            target = self.high if self.source == self.low else self.low
            return self.far, min(self.far, target), max(self.far, target), "turns"
        return self.source, self.low, self.high, self.multicast


class Step(NamedTuple):
    """One instruction of the PE at ``pe``: ``dst = a`` or ``a`` combined with message ``b``; numbers are messages.

    ``op``: mov, mov_async (a mov by which a microthread sends while the core goes on), sum, max, round (to the tile's
    number format), spend (scalar code of ``elements`` cycles), clear, or multiply (``dst += a b``, tiles of the sizes in
    the schedule's ``product``).
    """

    pe: int
    op: str
    elements: int
    dst: Buffer | int
    a: Buffer | int
    b: Buffer | int | None = None

    @property
    def takes(self) -> int | None:
        """The message that it takes in."""
        if isinstance(self.a, int):
            return self.a
        return self.b if isinstance(self.b, int) else None

    @property
    def sends(self) -> int | None:
        """The message that it sends."""
        return self.dst if isinstance(self.dst, int) else None

"""Matrix products over rectangles of PEs: MeshGEMM, Cannon's, SUMMA, and the transposed form.

On W x H PEs the inner size is cut into L blocks, L the least common multiple of W and H: every PE holds L / W blocks of X
beside each other and L / H blocks of W below each other, one of each on a square.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm, prod

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.grid.products import align_rounds, write_cannon, write_summa, write_transposed
from wsekern.ops.lines.ring import folded_ring
from wsekern.ops.local.gemm import check_product, multiply_cycles
from wsekern.ops.operation import Clocks, Operation, Shapes, WaferProgram, check_tile
from wsekern.ops.packing import tile_packing, traffic
from wsekern.ops.schedule.operations import PlaneScheduled
from wsekern.ops.schedule.schedule import Schedule
from wsekern.tiles import mesh_gemm, mesh_gemm_transposed

MAX_STEPS = 4_000_000
"""Instructions of all PEs that a staged product may have written down: some 4 GB and half a minute."""
STEPS_OF_A_ROUND = 7
"""Instructions of a PE in a round: scalar code, a product, and two of each tile that moves; more where X is aligned first."""


def exchange_cycles(timing: Timing, elements: int, hops: int = 2) -> dict[str, int]:
    """Cycles by cause of one exchange with the neighbor ``hops`` away: two on the folded ring."""
    packing = tile_packing(timing)
    wavelets = timing.wavelets(elements, packing)
    return {"overhead": timing.latency("exchange"), "stages": timing.stage, "fabric": hops * timing.hop,
            "stream": timing.stream(wavelets, timing.step(timing.instruction("mov"), packing))}


class MeshProduct(PlaneScheduled):
    """What products over W x H PEs share. ``overlapped``: tiles move in microthreads while the core multiplies, as in the
    released kernels; otherwise the core does one after the other, which is what the cycle engine runs."""

    m: int
    k: int
    n: int
    overlapped: bool
    elements = None

    def __post_init__(self) -> None:
        check_product(self)

    def shapes(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Shapes of a PE's left tile, right tile and result on ``width`` x ``height`` PEs."""
        blocks = lcm(width, height)
        return (self.m, self.k * (blocks // width)), (self.k * (blocks // height), self.n), (self.m, self.n)

    @abstractmethod
    def spend_overlapped(self, engine: Clocks) -> None:
        """Clocks of the overlapped form."""

    @abstractmethod
    def traversals_overlapped(self, engine: Clocks) -> int:
        """Wavelets times links of the overlapped form."""

    def time(self, engine: Clocks) -> None:
        """Advance the clocks of ``engine`` by this operation."""
        if not self.overlapped:
            self._check_staged(engine.width, engine.height)
            super().time(engine)
            return
        engine.synchronise()
        engine.spend(overhead=engine.timing.latency("meshgemm_call", engine.timing.latency("call")))
        self.spend_overlapped(engine)
        engine.link_traversals += self.traversals_overlapped(engine)

    def link_traversals(self, engine: Clocks) -> int:
        """Wavelets times links of one run on the whole grid."""
        return self.traversals_overlapped(engine) if self.overlapped else super().link_traversals(engine)

    def staged(self) -> Operation:
        """The form that the cycle engine can run."""
        return replace(self, overlapped=False) if self.overlapped else self

    def host_tiles(self, timing: Timing, width: int, height: int) -> Shapes:
        """Shapes of a PE's left and right tile."""
        return self.shapes(width, height)[:2]

    def memory_bytes(self, engine: Clocks) -> int:
        """Bytes of the tiles that a PE holds; those that move are held twice."""
        left, right, result = (prod(shape) for shape in self.shapes(engine.width, engine.height))
        return np.dtype(NUMPY_DTYPES[engine.precision]).itemsize * (2 * (left + right) + result)

    def lowered(self, timing: Timing, width: int, height: int) -> WaferProgram:
        """What the cycle engine runs: the staged form."""
        if self.overlapped:
            raise InputError(f"{type(self).__name__} moves tiles while it multiplies: the cycle engine has programs of "
                             "products in the staged form only, give overlapped=False")
        self._check_staged(width, height)
        return super().lowered(timing, width, height)

    def _check_staged(self, width: int, height: int) -> None:
        steps = lcm(width, height) * width * height * STEPS_OF_A_ROUND
        if steps > MAX_STEPS:
            raise InputError(f"the staged form of {type(self).__name__}, which the cycle engine runs, writes down every step: "
                             f"up to {MAX_STEPS:,}, not the {steps:,} or so for {lcm(width, height)} blocks of the inner size "
                             f"on {width}x{height} PEs")

    def result_shape(self, engine: Clocks, *tiles: np.ndarray) -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, *self.shapes(engine.width, engine.height)[2]

    def checked(self, engine: Clocks, *tiles: np.ndarray) -> list[np.ndarray]:
        """The tiles of all PEs, of the shapes that the grid asks for."""
        shapes = self.shapes(engine.width, engine.height)
        return [check_tile(engine, tile, *shape) for tile, shape in zip(tiles, shapes[:2], strict=True)]


def left_blocks(x: np.ndarray, blocks: int, dealt: bool) -> np.ndarray:
    """X (H, W, m, k s) as blocks (H, L, m, k): in their order, or ``dealt`` to the columns one by one, so that column j has
    blocks j, W + j, ..."""
    height, width, m, inner = x.shape
    stack = blocks // width
    split = x.reshape(height, width, m, stack, inner // stack)
    return split.transpose((0, 3, 1, 2, 4) if dealt else (0, 1, 3, 2, 4)).reshape(height, blocks, m, inner // stack)


def right_blocks(w: np.ndarray, blocks: int, columns: int = 1) -> np.ndarray:
    """W (H, W, k s, n) as blocks (L, W, k, n): in their order, or in the order in which X is dealt to ``columns`` columns."""
    height, width, inner, n = w.shape
    stack = blocks // height
    split = w.reshape(height, width, stack, inner // stack, n).swapaxes(1, 2)
    return split.reshape(columns, blocks // columns, width, inner // stack, n).swapaxes(0, 1).reshape(blocks, width,
                                                                                                   inner // stack, n)


def _skew(tiles: np.ndarray, rings: tuple[Sequence[int], Sequence[int]], by_row: bool, by_column: bool) -> np.ndarray:
    """Tiles (H, W, ...) of the logical grid on the physical one: PE (i, j) of the rings gets tile (i, j), with i + j for the
    row, or for the column, where that is asked for."""
    out, (ring_x, ring_y) = np.empty_like(tiles), rings
    for i, row in enumerate(ring_y):
        for j, column in enumerate(ring_x):
            out[row, column] = tiles[(i + j) % len(ring_y) if by_row else i, (i + j) % len(ring_x) if by_column else j]
    return out


@dataclass(frozen=True)
class MeshGemm(MeshProduct):
    """C = X W on W x H PEs (MeshGEMM of WaferLLM, OSDI'25): per PE X (m, k), W (k, n), C (m, n) on a square of P x P; on a
    rectangle L / W times as many columns of X and L / H times as many rows of W, L the least common multiple.

    Cannon's algorithm on rings folded so that logical neighbors are two hops apart. X is skewed on the device in P
    // 2 rounds of exchange, W by the host. Then L rounds: multiply the blocks at hand while all are passed on. PE (i,
    j) adds the products of inner blocks in the order (i + j) mod L, (i + j + 1) mod L, ..., block b being the one that
    column b mod W has b // W of; within a tile product the inner index is outermost. ``skewed``: X lies skewed already,
    as after a product with the same X. Cost, after the latest PE is ready: ``call + (P // 2) max(align, exchange) + L
    (round + max(multiply, exchange))``, so that a round costs the same on every square; not overlapped, a round costs
    the sum of multiply and of two exchanges.
    """

    m: int
    k: int
    n: int
    skewed: bool = False
    overlapped: bool = True

    def ring(self, pes: int) -> list[int]:
        """Physical PE of every logical one."""
        return folded_ring(pes)

    def rings(self, width: int, height: int) -> tuple[list[int], list[int]]:
        """The rings along x and y."""
        return self.ring(width), self.ring(height)

    def hops(self, pes: int) -> int:
        """Links between logical neighbors."""
        return 2

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Alignment, then rounds of product and exchange."""
        return write_cannon(width, height, timing, self.m, self.k, self.n, self.rings(width, height), self.skewed)

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Blocks dealt out, logical rows and columns to their places, W skewed, and X where it is to lie so."""
        x, w = tiles
        height, width = x.shape[:2]
        rings, blocks = self.rings(width, height), lcm(width, height)
        dealt_x = left_blocks(x, blocks, True).reshape(height, blocks // width, width, self.m, self.k).swapaxes(1, 2)
        dealt_w = right_blocks(w, blocks, width).reshape(blocks // height, height, width, self.k, self.n)
        return _skew(dealt_x, rings, False, self.skewed), _skew(dealt_w.transpose(1, 2, 0, 3, 4), rings, True, False)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Places to logical rows and columns."""
        ring_x, ring_y = self.rings(values.shape[1], values.shape[0])
        return np.ascontiguousarray(values[ring_y][:, ring_x])

    def spend_overlapped(self, engine: Clocks) -> None:
        """Alignment, then rounds of the slower of product and exchange."""
        timing, width, height = engine.timing, engine.width, engine.height
        rounds = lcm(width, height)
        x_elements, w_elements = (tile[0] * tile[1] for tile in self.shapes(width, height)[:2])
        exchange_x = exchange_cycles(timing, x_elements, self.hops(width)) if width > 1 else {}
        exchange_w = exchange_cycles(timing, w_elements, self.hops(height)) if height > 1 else {}
        if not self.skewed:
            spend_slower(engine, align_rounds(width, height), {"overhead": timing.latency("gemm_align")}, exchange_x)
        spend_rounds(engine, rounds, multiply_cycles(timing, self.m, self.k, self.n),
                     max(exchange_x, exchange_w, key=lambda exchange: sum(exchange.values())))

    def traversals_overlapped(self, engine: Clocks) -> int:
        """Wavelets times links of alignment and rounds."""
        width, height = engine.width, engine.height
        x, w = (traffic(engine.timing, prod(tile)).results for tile in self.shapes(width, height)[:2])
        shifted = 0 if self.skewed else sum(min(i % width, width - i % width) for i in range(height))
        return (shifted * (2 * width - 2) * x
                + lcm(width, height) * (height * (2 * width - 2) * x + width * (2 * height - 2) * w))

    def flow(self, engine: Clocks, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (H, W, m, k L / W), w (H, W, k L / H, n) -> c (H, W, m, n): the product of the matrices that the tiles make up."""
        x, w = self.checked(engine, x, w)
        self.time(engine)
        blocks = lcm(engine.width, engine.height)
        return mesh_gemm(left_blocks(x, blocks, True), right_blocks(w, blocks, engine.width), engine.precision,
                         threads=engine.threads)


@dataclass(frozen=True)
class Cannon(MeshGemm):
    """C = X W on W x H PEs by Cannon's algorithm on plain rings: neighbors are one hop apart, and one link goes all the
    way back over P - 1 hops, P the longer side. Tiles and order of adds as in MeshGEMM. Cost: ``call + (P // 2) max(align,
    exchange) + L (round + max(multiply, exchange))`` with an exchange of P - 1 hops: a round grows with P.
    """

    def ring(self, pes: int) -> list[int]:
        """Places in their order."""
        return list(range(pes))

    def hops(self, pes: int) -> int:
        """Links between the last place and the first."""
        return max(1, pes - 1)


@dataclass(frozen=True)
class Summa(MeshProduct):
    """C = X W on W x H PEs by SUMMA, tiles as in MeshGEMM: in round q the column that has inner block q hands out its block
    of X along the rows, the row that has it its block of W along the columns, and every PE multiplies. Inner blocks are
    added in the order 0, 1, ..., L - 1.

    Routers cannot multicast from every column in turn with the colors there are: each PE takes a tile and hands it on.
    Cost, overlapped, with r = ``max(relay_floor, relay + stage + h + 2 B)`` as measured for software relays, B wavelets of
    the larger block, P the longer side: ``call + L (round + max(multiply, r)) + (P - 1) r``: the last term fills the pipeline.
    """

    m: int
    k: int
    n: int
    overlapped: bool = True

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rounds of two broadcasts and a product."""
        return write_summa(width, height, timing, self.m, self.k, self.n)

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The blocks of a PE one after the other."""
        x, w = tiles
        height, width, m, inner = x.shape
        stack = lcm(width, height) // width
        return np.ascontiguousarray(x.reshape(height, width, m, stack, inner // stack).swapaxes(2, 3)), w

    def spend_overlapped(self, engine: Clocks) -> None:
        """Rounds of the slower of product and hand-over, and the time until the first tiles are everywhere."""
        timing, width, height = engine.timing, engine.width, engine.height
        rounds = lcm(width, height)
        hand: dict[str, int] = {}
        if rounds > 1:
            hand = exchange_cycles(timing, max(self.m * self.k, self.k * self.n), 1)
            hand["stream"] = 2 * (hand["stream"] + 1)
            hand["overhead"] = max(timing.latency("relay"), timing.latency("relay_floor") - sum(hand.values()))
        spend_rounds(engine, rounds, multiply_cycles(timing, self.m, self.k, self.n), hand)
        engine.spend(**{cause: cycles * (max(width, height) - 1) for cause, cycles in hand.items()})

    def traversals_overlapped(self, engine: Clocks) -> int:
        """Wavelets times links of all rounds."""
        width, height = engine.width, engine.height
        x, w = (traffic(engine.timing, size).results for size in (self.m * self.k, self.k * self.n))
        return lcm(width, height) * (height * (width - 1) * x + width * (height - 1) * w)

    def flow(self, engine: Clocks, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (H, W, m, k L / W), w (H, W, k L / H, n) -> c (H, W, m, n): the product of the matrices that the tiles make up."""
        x, w = self.checked(engine, x, w)
        self.time(engine)
        blocks = lcm(engine.width, engine.height)
        return mesh_gemm(left_blocks(x, blocks, False), right_blocks(w, blocks), engine.precision, threads=engine.threads,
                         skewed=False)


@dataclass(frozen=True)
class MeshGemmTransposed(MeshProduct):
    """S = Q K^T on W x H PEs: per PE Q (m, k), K (n, k), S (m, n) on a square; on a rectangle L / H times as many rows of K
    and L / W times as many columns of S, L the least common multiple. Heads' dimensions lie along x, positions along y.

    Only K moves, along y. After each of the H rounds a chain reduce along x brings the sum of the row's partial
    products of each of its blocks to a root that moves with the round, so that the scores end where a product of matrices
    would put them. Cost: ``call + H (round + max(L / H (multiply + add), exchange)) + the last chain``, as a PE is in the
    chain of one stage per block in steady state; not overlapped, a round costs the sum of multiply, chain and exchange.
    """

    m: int
    n: int
    k: int
    overlapped: bool = True

    def shapes(self, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Shapes of a PE's Q, K and scores."""
        blocks = lcm(width, height)
        return (self.m, self.k), (self.n * (blocks // height), self.k), (self.m, self.n * (blocks // width))

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rounds of product, chains and exchange."""
        return write_transposed(width, height, timing, self.m, self.k, self.n, folded_ring(height))

    def arrange(self, tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Logical rows to their places."""
        order = np.argsort(folded_ring(len(tiles[0])))
        return [np.ascontiguousarray(tile[order]) for tile in tiles]

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Places to logical rows, and the blocks of a PE beside each other."""
        return self._beside(values[folded_ring(len(values))], *values.shape[:2])

    def _beside(self, scores: np.ndarray, height: int, width: int) -> np.ndarray:
        stack = lcm(width, height) // width
        blocks = scores.reshape(height, width, stack, self.m, self.n).swapaxes(2, 3)
        return np.ascontiguousarray(blocks.reshape(height, width, self.m, stack * self.n))

    def spend_overlapped(self, engine: Clocks) -> None:
        """Rounds of the slower of product and exchange, and the last chain."""
        timing, width, height = engine.timing, engine.width, engine.height
        blocks = lcm(width, height)
        stack, (compute, overhead) = blocks // height, multiply_cycles(timing, self.m, self.k, self.n)
        # In steady state a PE is in the chain of one block while others multiply: it spends one add for each.
        add = timing.instruction("add")
        stream = timing.stream(traffic(timing, self.m * self.n).sums, timing.step(add)) + 1
        spend_rounds(engine, height, (stack * compute, stack * (overhead + timing.stream_setup(add) + stream)),
                     exchange_cycles(timing, stack * self.k * self.n) if height > 1 else {})
        engine.spend(stages=(width - 1) * timing.stage, fabric=(width - 1) * timing.hop, stream=stream)

    def traversals_overlapped(self, engine: Clocks) -> int:
        """Wavelets times links of all chains and exchanges."""
        width, height, timing = engine.width, engine.height, engine.timing
        blocks = lcm(width, height)
        keys = blocks // height * self.k * self.n
        return (height * blocks * (width - 1) * traffic(timing, self.m * self.n).sums
                + height * (2 * height - 2) * width * traffic(timing, keys).results)

    def flow(self, engine: Clocks, q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """q (H, W, m, k), k (H, W, n L / H, k) -> s (H, W, m, n L / W)."""
        q, k = self.checked(engine, q, k)
        self.time(engine)
        keys = right_blocks(k, lcm(engine.width, engine.height))
        return self._beside(mesh_gemm_transposed(q, keys, engine.precision, threads=engine.threads), engine.height,
                            engine.width)


def spend_rounds(engine: Clocks, rounds: int, multiply: tuple[int, int], exchange: dict[str, int]) -> None:
    """``rounds`` rounds of the slower of multiply and exchange, by its causes, each with its fixed cost."""
    spend_slower(engine, rounds, {"compute": multiply[0], "overhead": multiply[1]}, exchange)
    engine.spend(overhead=rounds * engine.timing.latency("gemm_round"))


def spend_slower(engine: Clocks, rounds: int, work: dict[str, int], exchange: dict[str, int]) -> None:
    """``rounds`` rounds in which PEs work while tiles are exchanged: the slower of the two, by its causes."""
    slower = work if sum(work.values()) >= sum(exchange.values()) else exchange
    engine.spend(**{cause: cycles * rounds for cause, cycles in slower.items()})

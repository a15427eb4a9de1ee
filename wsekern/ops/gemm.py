"""Matrix products over P x P PEs: MeshGEMM, Cannon's, SUMMA, and the transposed form."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.gemv import Gemv
from wsekern.ops.line import check_tile, tile_packing, traffic
from wsekern.ops.products import write_cannon, write_summa, write_transposed
from wsekern.ops.ring import LONGEST, folded_ring
from wsekern.ops.schedule import Schedule, multiply_cycles
from wsekern.ops.scheduled import LoweredPlane, PlaneScheduled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsekern.ops.flow import FlowEngine


def _check(engine: "FlowEngine", name: str) -> None:
    if engine.width != engine.height:
        raise InputError(f"{name} runs on a square of PEs, not on {engine.width}x{engine.height}")


def local_cycles(timing: Timing, rows: int, inner: int, cols: int) -> tuple[int, int]:
    """(compute, overhead) of rows x inner times inner x cols on one PE: a GEMV for each row, called once."""
    compute, overhead = Gemv(inner, cols).cycles(timing)
    if not rows or not compute:
        return 0, 0
    call = timing.latency("gemv_call", timing.latency("call"))
    return rows * compute, call + rows * (overhead - call)


@dataclass(frozen=True)
class Gemm:
    """C (m, n) = X (m, k) W (k, n) on every PE, nothing sent: a Gemv for each row of X, in the same order of adds."""

    m: int
    k: int
    n: int

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = local_cycles(engine.timing, self.m, self.k, self.n)
        engine.spend(compute=compute, overhead=overhead)

    def flow(self, engine: "FlowEngine", x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (height, width, m, k), w (height, width, k, n) -> c (height, width, m, n)."""
        from wsekern.tiles import gemm

        x, w = check_tile(engine, x, self.m, self.k), check_tile(engine, w, self.k, self.n)
        self.time(engine)
        return gemm(x, w, engine.dtype, threads=engine.threads)


@dataclass(frozen=True)
class GemmTransposed:
    """S (m, n) = Q (m, k) K^T on every PE, K (n, k), nothing sent: columns of K are the rows that a Gemv goes through.

    The inner index is outermost, so each multiply-add is n long; K is stored so that its columns are strided.
    """

    m: int
    n: int
    k: int

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        compute, overhead = local_cycles(engine.timing, self.m, self.k, self.n)
        engine.spend(compute=compute, overhead=overhead)

    def flow(self, engine: "FlowEngine", q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """q (height, width, m, k), k (height, width, n, k) -> s (height, width, m, n)."""
        from wsekern.tiles import gemm_transposed

        q, k = check_tile(engine, q, self.m, self.k), check_tile(engine, k, self.n, self.k)
        self.time(engine)
        return gemm_transposed(q, k, engine.dtype, threads=engine.threads)


def exchange_cycles(timing: Timing, words: int, hops: int = 2) -> dict[str, int]:
    """Cycles by cause of one exchange with the neighbour ``hops`` away: two on the folded ring."""
    packing = tile_packing(timing)
    wavelets = timing.wavelets(words, packing)
    return {"overhead": timing.latency("exchange"), "stages": timing.stage, "fabric": hops * timing.hop,
            "words": timing.stream(wavelets, timing.step(timing.instruction("mov"), packing))}


class MeshProduct(PlaneScheduled):
    """What products over P x P PEs share. ``overlapped``: tiles move in microthreads while the core multiplies, as in the
    released kernels; otherwise the core does one after the other, which is what the cycle engine runs."""

    m: int
    k: int
    n: int
    overlapped: bool

    def __post_init__(self) -> None:
        if min(self.m, self.k, self.n) < 0:
            raise InputError(f"tiles of {self.m} x {self.k} x {self.n}: expected sizes that are not negative")

    def spend_overlapped(self, engine: "FlowEngine") -> None:
        """Clocks and energy of the overlapped form."""
        raise NotImplementedError

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        _check(engine, type(self).__name__)
        if not self.overlapped:
            if engine.width > LONGEST:
                raise InputError(f"the staged form of {type(self).__name__} writes down every step: up to {LONGEST}x{LONGEST} "
                                 f"PEs, not {engine.width}x{engine.height}")
            super().time(engine)
            return
        engine.level()
        engine.spend(overhead=engine.timing.latency("meshgemm_call", engine.timing.latency("call")))
        self.spend_overlapped(engine)

    def lowered(self, timing: Timing, width: int, height: int) -> LoweredPlane:
        """What the cycle engine runs: the staged form."""
        if self.overlapped:
            raise InputError(f"{type(self).__name__} moves tiles while it multiplies, which takes microthreads: the cycle "
                             "engine's operations have one thread, give overlapped=False")
        return super().lowered(timing, width, height)

    def result_shape(self, engine: "FlowEngine") -> tuple[int, ...]:
        """Shape of the values."""
        return engine.height, engine.width, self.m, self.n


def _tiles(product: MeshProduct, engine: "FlowEngine", x: np.ndarray, w: np.ndarray,
           transposed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    _check(engine, type(product).__name__)
    right = (product.n, product.k) if transposed else (product.k, product.n)
    return check_tile(engine, x, product.m, product.k), check_tile(engine, w, *right)


def _skew(tiles: np.ndarray, ring: "Sequence[int]", by_row: bool, by_column: bool) -> np.ndarray:
    """Tiles of the logical grid on the physical one: PE (ring[i], ring[j]) gets tile (i, j), with i + j for the row, or
    for the column, where that is asked for."""
    out, pes = np.empty_like(tiles), len(ring)
    for i in range(pes):
        for j in range(pes):
            both = (i + j) % pes
            out[ring[i], ring[j]] = tiles[both if by_row else i, both if by_column else j]
    return out


@dataclass(frozen=True)
class MeshGemm(MeshProduct):
    """C = X W on P x P PEs (MeshGEMM of WaferLLM, OSDI'25): per PE X (m, k), W (k, n), C (m, n).

    Cannon's algorithm on rings folded so that logical neighbours are two hops apart. X is skewed on the device in P
    // 2 rounds of exchange, W by the host. Then P rounds: multiply the tiles at hand while both are passed on. PE (i,
    j) adds the products of inner tiles in the order (i + j) mod P, (i + j + 1) mod P, ...; within a tile product the
    inner index is outermost. ``skewed``: X lies skewed already, as after a product with the same X. Cost, after the
    latest PE is ready: ``call + (P // 2) max(align, exchange) + P (round + max(multiply, exchange))``, so that a
    round costs the same on every grid; not overlapped, a round costs the sum of multiply and of two exchanges.
    """

    m: int
    k: int
    n: int
    skewed: bool = False
    overlapped: bool = True

    def ring(self, pes: int) -> list[int]:
        """Physical place of every logical one."""
        return folded_ring(pes)

    def hops(self, pes: int) -> int:
        """Links between logical neighbours."""
        return 2

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Alignment, then rounds of product and exchange."""
        return write_cannon(width, height, timing, self.m, self.k, self.n, self.ring(width), self.skewed)

    def arrange(self, tiles: "Sequence[np.ndarray]") -> "Sequence[np.ndarray]":
        """Logical rows and columns to their places, W skewed, and X where it is to lie so."""
        x, w = tiles
        ring = self.ring(len(x))
        return _skew(x, ring, False, self.skewed), _skew(w, ring, True, False)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Places to logical rows and columns."""
        ring = self.ring(len(values))
        return np.ascontiguousarray(values[ring][:, ring])

    def spend_overlapped(self, engine: "FlowEngine") -> None:
        """Alignment, then rounds of the slower of product and exchange."""
        timing, rounds, hops = engine.timing, engine.width, self.hops(engine.width)
        shifts = 0 if self.skewed else rounds // 2
        spend_slower(engine, shifts, {"overhead": timing.latency("gemm_align")},
                     exchange_cycles(timing, self.m * self.k, hops))
        spend_rounds(engine, rounds, multiply_cycles(timing, self.m, self.k, self.n),
                     exchange_cycles(timing, max(self.m * self.k, self.k * self.n), hops))
        words = (rounds + shifts) * traffic(timing, self.m * self.k).results + rounds * traffic(timing, self.k * self.n).results
        engine.energy += (2 * rounds - 2) * words * rounds

    def flow(self, engine: "FlowEngine", x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (P, P, m, k), w (P, P, k, n) -> c (P, P, m, n): the product of the matrices that the tiles make up."""
        from wsekern.tiles import mesh_gemm

        x, w = _tiles(self, engine, x, w)
        self.time(engine)
        return mesh_gemm(x, w, engine.dtype, threads=engine.threads)


@dataclass(frozen=True)
class Cannon(MeshGemm):
    """C = X W on P x P PEs by Cannon's algorithm on plain rings: neighbours are one hop apart, and one link goes all the
    way back over P - 1 hops. The same order of adds as MeshGEMM. Cost: ``call + (P // 2) max(align, exchange) + P
    (round + max(multiply, exchange))`` with an exchange of P - 1 hops: a round grows with P.
    """

    def ring(self, pes: int) -> list[int]:
        """Places in their order."""
        return list(range(pes))

    def hops(self, pes: int) -> int:
        """Links between the last place and the first."""
        return max(1, pes - 1)


@dataclass(frozen=True)
class Summa(MeshProduct):
    """C = X W on P x P PEs by SUMMA: in round q column q hands out its tiles of X along the rows, row q those of W along the
    columns, and every PE multiplies. Inner tiles are added in the order 0, 1, ..., P - 1.

    Routers cannot multicast from every column in turn with the colors there are: each PE takes a tile and hands it on.
    Cost, overlapped, with r = ``max(relay_floor, relay + stage + h + 2 B)`` as measured for software relays, B wavelets of
    the larger tile: ``call + P (round + max(multiply, r)) + (P - 1) r``: the last term fills the pipeline.
    """

    m: int
    k: int
    n: int
    overlapped: bool = True

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rounds of two broadcasts and a product."""
        return write_summa(width, height, timing, self.m, self.k, self.n)

    def spend_overlapped(self, engine: "FlowEngine") -> None:
        """Rounds of the slower of product and hand-over, and the time until the first tiles are everywhere."""
        timing, rounds = engine.timing, engine.width
        hand = exchange_cycles(timing, max(self.m * self.k, self.k * self.n), 1)
        hand["words"] = 2 * (hand["words"] + 1)
        hand["overhead"] = max(timing.latency("relay"), timing.latency("relay_floor") - sum(hand.values()))
        spend_rounds(engine, rounds, multiply_cycles(timing, self.m, self.k, self.n), hand)
        engine.spend(**{cause: cycles * (rounds - 1) for cause, cycles in hand.items()})
        words = traffic(timing, self.m * self.k).results + traffic(timing, self.k * self.n).results
        engine.energy += rounds * rounds * (rounds - 1) * words

    def flow(self, engine: "FlowEngine", x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (P, P, m, k), w (P, P, k, n) -> c (P, P, m, n): the product of the matrices that the tiles make up."""
        from wsekern.tiles import gemm

        x, w = _tiles(self, engine, x, w)
        self.time(engine)
        pes = engine.width
        rows = x.swapaxes(1, 2).reshape(pes, 1, self.m, pes * self.k)
        columns = w.swapaxes(0, 1).reshape(1, pes, pes * self.k, self.n)
        return gemm(np.ascontiguousarray(np.broadcast_to(rows, (pes, pes, *rows.shape[2:]))),
                    np.ascontiguousarray(np.broadcast_to(columns, (pes, pes, *columns.shape[2:]))), engine.dtype,
                    threads=engine.threads)


@dataclass(frozen=True)
class MeshGemmTransposed(MeshProduct):
    """S = Q K^T on P x P PEs: per PE Q (m, k), K (n, k), S (m, n), heads' dimensions along x, positions along y.

    Only K moves, along y. After each of the P rounds a chain reduce along x brings the sum of the row's partial
    products to a root that moves with the round, so that the scores end where a product of matrices would put them.
    Cost: ``call + P max(multiply, exchange) + P (add chain of one stage per round in steady state) + the last
    chain``; not overlapped, a round costs the sum of multiply, chain and exchange.
    """

    m: int
    n: int
    k: int
    overlapped: bool = True

    def write(self, width: int, height: int, timing: Timing) -> Schedule:
        """Rounds of product, chains and exchange."""
        return write_transposed(width, height, timing, self.m, self.k, self.n, folded_ring(width))

    def arrange(self, tiles: "Sequence[np.ndarray]") -> "Sequence[np.ndarray]":
        """Logical rows to their places."""
        order = np.argsort(folded_ring(len(tiles[0])))
        return [np.ascontiguousarray(tile[order]) for tile in tiles]

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Places to logical rows."""
        return np.ascontiguousarray(values[folded_ring(len(values))])

    def spend_overlapped(self, engine: "FlowEngine") -> None:
        """Rounds of the slower of product and exchange, and the last chain."""
        timing, rounds = engine.timing, engine.width
        compute, overhead = multiply_cycles(timing, self.m, self.k, self.n)
        # In steady state a PE is in the chain of its round while others multiply: it spends one add per round.
        add = timing.instruction("add")
        words = timing.stream(traffic(timing, self.m * self.n).sums, timing.step(add)) + 1
        spend_rounds(engine, rounds, (compute, overhead + timing.setup(add) + words),
                     exchange_cycles(timing, self.k * self.n))
        engine.spend(stages=(rounds - 1) * timing.stage, fabric=(rounds - 1) * timing.hop, words=words)
        sums = (rounds - 1) * traffic(timing, self.m * self.n).sums
        engine.energy += rounds * rounds * sums + (2 * rounds - 2) * rounds * traffic(timing, self.k * self.n).results * rounds

    def flow(self, engine: "FlowEngine", q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """q (P, P, m, k), k (P, P, n, k) -> s (P, P, m, n)."""
        from wsekern.tiles import mesh_gemm_transposed

        q, k = _tiles(self, engine, q, k, transposed=True)
        self.time(engine)
        return mesh_gemm_transposed(q, k, engine.dtype, threads=engine.threads)


def spend_rounds(engine: "FlowEngine", rounds: int, multiply: tuple[int, int], exchange: dict[str, int]) -> None:
    """``rounds`` rounds of the slower of multiply and exchange, by its causes, each with its fixed cost."""
    spend_slower(engine, rounds, {"compute": multiply[0], "overhead": multiply[1]}, exchange)
    engine.spend(overhead=rounds * engine.timing.latency("gemm_round"))


def spend_slower(engine: "FlowEngine", rounds: int, work: dict[str, int], exchange: dict[str, int]) -> None:
    """``rounds`` rounds in which PEs work while tiles are exchanged: the slower of the two, by its causes."""
    slower = work if sum(work.values()) >= sum(exchange.values()) else exchange
    engine.spend(**{cause: cycles * rounds for cause, cycles in slower.items()})

"""Matrix products over P x P PEs: MeshGEMM and its transposed form."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from wsekern.errors import InputError
from wsekern.machine.timing import Timing
from wsekern.ops.gemv import Gemv
from wsekern.ops.line import check_tile

if TYPE_CHECKING:
    from wsekern.ops.flow import FlowEngine


def _check(engine: "FlowEngine", name: str) -> None:
    if engine.width != engine.height:
        raise InputError(f"{name} runs on a square of PEs, not on {engine.width}x{engine.height}")


def multiply_cycles(timing: Timing, m: int, k: int, n: int) -> tuple[int, int]:
    """(compute, overhead) of one tile product: k loop bodies, each a map over n calls of a multiply-add of length m.

    Rounded up once: what a mapped call takes is a mean over many, not a whole number of cycles.
    """
    if not m * k * n:
        return 0, 0
    overhead = timing.exact("gemm_call") + k * (timing.exact("gemm_row") + n * timing.exact("gemm_map"))
    return ceil(k * n * m / timing.rate(timing.instruction("fma"))), ceil(overhead)


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


def exchange_cycles(timing: Timing, words: int) -> dict[str, int]:
    """Cycles by cause of one exchange with the neighbour two hops away on the folded ring."""
    wavelets = timing.wavelets(words)
    return {"overhead": timing.latency("exchange"), "stages": timing.stage, "fabric": 2 * timing.hop,
            "words": timing.stream(wavelets, timing.step(timing.instruction("mov")))}


@dataclass(frozen=True)
class MeshGemm:
    """C = X W on P x P PEs (MeshGEMM of WaferLLM, OSDI'25): per PE X (m, k), W (k, n), C (m, n).

    Cannon's algorithm on rings folded so that logical neighbours are two hops apart. X is skewed on the device in P
    // 2 rounds of exchange, W by the host. Then P rounds: multiply the tiles at hand while both are passed on. PE (i,
    j) adds the products of inner tiles in the order (i + j) mod P, (i + j + 1) mod P, ...; within a tile product the
    inner index is outermost. ``skewed``: X lies skewed already, as after a product with the same X. Cost, after the
    latest PE is ready: ``call + (P // 2) max(align, exchange) + P (round + max(multiply, exchange))``, so that a
    round costs the same on every grid.
    """

    m: int
    k: int
    n: int
    skewed: bool = False

    def __post_init__(self) -> None:
        if min(self.m, self.k, self.n) < 0:
            raise InputError(f"tiles of {self.m} x {self.k} x {self.n}: expected sizes that are not negative")

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        _check(engine, "MeshGemm")
        timing, rounds = engine.timing, engine.width
        engine.level()
        engine.spend(overhead=timing.latency("meshgemm_call", timing.latency("call")))
        shifts = 0 if self.skewed else rounds // 2
        spend_slower(engine, shifts, {"overhead": timing.latency("gemm_align")}, exchange_cycles(timing, self.m * self.k))
        spend_rounds(engine, rounds, multiply_cycles(timing, self.m, self.k, self.n),
                     exchange_cycles(timing, max(self.m * self.k, self.k * self.n)))
        words = (rounds + shifts) * timing.wavelets(self.m * self.k) + rounds * timing.wavelets(self.k * self.n)
        engine.energy += (2 * rounds - 2) * words * rounds

    def flow(self, engine: "FlowEngine", x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """x (P, P, m, k), w (P, P, k, n) -> c (P, P, m, n): the product of the matrices that the tiles make up."""
        from wsekern.tiles import mesh_gemm

        _check(engine, "MeshGemm")
        x, w = check_tile(engine, x, self.m, self.k), check_tile(engine, w, self.k, self.n)
        self.time(engine)
        return mesh_gemm(x, w, engine.dtype, threads=engine.threads)


@dataclass(frozen=True)
class MeshGemmTransposed:
    """S = Q K^T on P x P PEs: per PE Q (m, k), K (n, k), S (m, n), heads' dimensions along x, positions along y.

    Only K moves, along y. After each of the P rounds a chain reduce along x brings the sum of the row's partial
    products to a root that moves with the round, so that the scores end where a product of matrices would put them.
    Cost: ``call + P max(multiply, exchange) + P (add chain of one stage per round in steady state) + the last
    chain``.
    """

    m: int
    n: int
    k: int

    def __post_init__(self) -> None:
        if min(self.m, self.k, self.n) < 0:
            raise InputError(f"tiles of {self.m} x {self.k} x {self.n}: expected sizes that are not negative")

    def time(self, engine: "FlowEngine") -> None:
        """Advance the clocks of ``engine`` by this operation."""
        _check(engine, "MeshGemmTransposed")
        timing, rounds = engine.timing, engine.width
        engine.level()
        engine.spend(overhead=timing.latency("meshgemm_call", timing.latency("call")))
        compute, overhead = multiply_cycles(timing, self.m, self.k, self.n)
        # In steady state a PE is in the chain of its round while others multiply: it spends one add per round.
        add = timing.instruction("add")
        words = timing.stream(timing.wavelets(self.m * self.n), timing.step(add)) + 1
        spend_rounds(engine, rounds, (compute, overhead + timing.setup(add) + words),
                     exchange_cycles(timing, self.k * self.n))
        engine.spend(stages=(rounds - 1) * timing.stage, fabric=(rounds - 1) * timing.hop, words=words)
        sums = (rounds - 1) * timing.wavelets(self.m * self.n)
        engine.energy += rounds * rounds * sums + (2 * rounds - 2) * rounds * timing.wavelets(self.k * self.n) * rounds

    def flow(self, engine: "FlowEngine", q: np.ndarray, k: np.ndarray) -> np.ndarray:
        """q (P, P, m, k), k (P, P, n, k) -> s (P, P, m, n)."""
        from wsekern.tiles import mesh_gemm_transposed

        _check(engine, "MeshGemmTransposed")
        q, k = check_tile(engine, q, self.m, self.k), check_tile(engine, k, self.n, self.k)
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

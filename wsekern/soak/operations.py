"""Random operations of the mesh: the flow engine, the cycle engine and the plain references side by side."""

import random
from collections.abc import Sequence

import numpy as np

from wsekern.errors import BudgetError
from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    AllReduce2D,
    Broadcast,
    Broadcast2D,
    Cannon,
    FlowEngine,
    KTreeAllReduce,
    MeshGemm,
    MeshGemmTransposed,
    Operation,
    Reduce,
    Reduce2D,
    ReduceTree,
    RingAllReduce,
    RingShift,
    Shift,
    Summa,
    TreeAllReduce,
    TwoPhaseReduce,
)
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.grid.gemm import MeshProduct
from wsekern.ops.lines.scan import Scan
from wsekern.ops.lines.tree_reduce import ALGORITHMS
from wsekern.ops.operation import Axis
from wsekern.soak.difference import same, same_bits
from wsekern.soak.programs import MACHINES

AXES: tuple[Axis, ...] = ("x", "y")
PRODUCTS = (MeshGemm, Cannon, Summa, MeshGemmTransposed)


def random_tile(rng: random.Random, precision: str, *shape: int) -> np.ndarray:
    """Normal numbers in a format."""
    values = np.random.default_rng(rng.getrandbits(32)).standard_normal(shape).astype(np.float32)
    return round_bf16(values).reshape(shape) if precision == "bf16" else values.astype(NUMPY_DTYPES[precision])


def random_operation(rng: random.Random, elements: int) -> Operation:
    """An operation along lines or over the grid, on tiles of as many elements."""
    axis, some, root = rng.choice(AXES), rng.randrange(1, 6), rng.randrange(5)
    op = rng.choice(["sum", "max"])
    return rng.choice([
        lambda: AllReduce(elements, axis, some), lambda: Reduce(elements, axis, root),
        lambda: Broadcast(elements, axis, root), lambda: TwoPhaseReduce(elements, axis, some),
        lambda: TreeAllReduce(elements, axis, rng.choice(["chain", "auto"])),
        lambda: ReduceTree(elements, axis, rng.choice(ALGORITHMS), root),
        lambda: KTreeAllReduce(elements, axis, (some, rng.randrange(1, 6))), lambda: RingAllReduce(elements, axis),
        lambda: RingShift(elements, axis, some), lambda: Shift(elements, axis, rng.choice([-2, -1, 1, 2, 3])),
        lambda: Scan(elements, axis), lambda: Broadcast2D(elements, root, rng.randrange(5)),
        lambda: Reduce2D(elements, "xy", rng.choice(["chain", "auto", "two-phase"]), op),
        lambda: Reduce2D(elements, "snake", op=op),
        lambda: AllReduce2D(elements, rng.choice(["auto", "chain"]), rng.choice(["middle", "first"]), op)])()


def random_product(rng: random.Random) -> MeshProduct:
    """A product of matrices as the cycle engine runs it."""
    return rng.choice(PRODUCTS)(*(rng.randrange(4) for _ in range(3)), overlapped=False)


def compare(rng: random.Random, most: int, elements: int, threads: Sequence[int]) -> None:
    """One to three operations on tiles of at most ``elements``, or a product, on a grid of at most ``most`` x ``most`` PEs."""
    (machine, profile), precision = rng.choice(MACHINES), rng.choice(PRECISIONS)
    width, height = rng.randrange(1, most + 1), rng.randrange(1, most + 1)
    flow = FlowEngine(machine, width, height, profile, precision, rng.choice(threads))
    if rng.random() < 0.25:
        product = random_product(rng)
        left, right, _ = product.shapes(width, height)
        tiles = [random_tile(rng, precision, height, width, *shape) for shape in (left, right)]
        same_engines([product], flow, tiles)
        return
    elements = rng.choice([some for some in (1, 2, 3, 6, 12, 33) if some <= elements])
    operations = [random_operation(rng, elements) for _ in range(rng.choice([1, 1, 2, 3]))]
    same_engines(operations, flow, [random_tile(rng, precision, height, width, elements)])


def same_engines(operations: list[Operation], flow: FlowEngine, tiles: list[np.ndarray]) -> None:
    """Values bit for bit, of a lone operation along lines the reference's too; and clocks, where no note says why not."""
    where = f"{operations} on {flow.width}x{flow.height} PEs of {flow.machine.name}, {flow.profile}, {flow.precision}"
    try:
        run = run_on_cycle_engine(operations, flow.machine, flow.width, flow.height, flow.profile, flow.precision, *tiles)
    except BudgetError:
        return      # more colors or queues than a PE has for all of them at once
    values = flow.run(operations[0], *tiles)
    if len(tiles) == 1:
        same_bits(values, operations[0].reference(*tiles, flow.timing), f"{operations[0]}, beside the reference, of {where}")
    for operation in operations[1:]:
        values = flow.run(operation, values)
    same_bits(run.values, values, f"{where}, by wavelet")
    if len(operations) == 1:
        same(run.simulation.link_traversals, flow.link_traversals, f"link traversals of {where}")
    if not flow.notes:
        same(run.clock, flow.clock, f"clocks of {where}")

"""The contract: what every operation answers, and what none of them asks."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsekern.ops
from wsekern.errors import InputError
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    AllReduce2D,
    BatchedGemv,
    Broadcast,
    Broadcast2D,
    CycleEngine,
    Engine,
    FlowEngine,
    Gemm,
    GemmTransposed,
    Gemv,
    KTreeAllReduce,
    Local,
    MeshGemm,
    Operation,
    Reduce,
    Reduce2D,
    TreeAllReduce,
    TwoPhaseReduce,
)
from wsekern.ops.operation import Clocks, LocalOperation, WaferProgram
from wsekern.ops.registry import LOCAL, SPECS
from wsekern.ops.request import OpRequest

SOURCES = sorted(Path(wsekern.ops.__file__).parent.rglob("*.py"))


def operations(machine, width: int, height: int) -> list[Operation]:
    """What every name of the registry stands for on a grid."""
    tiles = {"MxKxN": (2, 2, 2), "MxNxK": (2, 2, 2), "ROWSxCOLS": (2, 2)}
    made = []
    for spec in (*SPECS, LOCAL):
        tile = next((tile for name, tile in tiles.items() if name in spec.sizes), None)
        request = OpRequest(name=spec.name.replace("KIND", "exp"), machine=machine, grid=(width, height), tile=tile, words=4,
                            relays=2)
        made += spec.build(request)
    return made


@pytest.mark.parametrize(("width", "height"), [(6, 1), (1, 5), (4, 6)])
def test_every_operation_answers_every_question(width, height):
    engine = FlowEngine("wse3", width, height, "silicon", "fp16")
    for operation in operations(engine.machine, width, height):
        assert isinstance(operation, Operation) and operation.label and hash(operation) == hash(operation)
        assert operation.sends != operation.runs_alone
        assert (operation.axis in ("x", "y")) or operation.axis is None
        assert isinstance(operation, LocalOperation) == operation.runs_alone
        assert all(part.sends and part.axis for part in operation.sent_along())
        sender = operation.first_sender(engine)
        assert sender is None or 0 <= sender < width * height
        assert operation.memory_bytes(engine) > 0
        program = operation.staged().lowered(engine.timing, width, height)
        assert isinstance(program, WaferProgram) and (program.colors > 0) >= (operation.sends and min(width, height) > 1)
        assert len(program.tile_types("fp16")) == len(program.tiles())


@pytest.mark.parametrize(("width", "height"), [(6, 1), (1, 5), (4, 6), (70, 1)])
def test_an_operation_counts_the_link_traversals_that_its_clocks_count(width, height):
    engine = FlowEngine("wse3", width, height, "silicon", "fp16")
    for operation in operations(engine.machine, width, height):
        for one in (operation, operation.staged()):
            engine.reset()
            engine.time(one)
            assert engine.link_traversals == one.link_traversals(engine), one


@settings(max_examples=30, deadline=None)
@given(m=st.integers(1, 4), k=st.integers(0, 6), n=st.integers(1, 7), precision=st.sampled_from(PRECISIONS),
       seed=st.integers(0, 99))
def test_local_products_equal_their_plain_reference(random_tile, assert_same_bits, m, k, n, precision, seed):
    engine = FlowEngine("wse3", 3, 2, "silicon", precision)
    for operation in (Gemm(m, k, n), GemmTransposed(m, n, k), BatchedGemv(m, k, n)):
        tiles = [random_tile(seed + i, precision, 2, 3, *shape) for i, shape in enumerate(operation.tiles())]
        assert_same_bits(engine.run(operation, *tiles), operation.reference(*tiles, engine.timing))


def test_work_without_a_plain_reference_says_so():
    with pytest.raises(InputError, match="has no plain reference"):
        MeshGemm(1, 1, 1).reference(np.zeros(1), np.zeros(1), None)


def test_a_reduction_in_another_format_is_the_same_in_an_engine_of_that_format():
    operation = AllReduce(4, "y", 2, precision="fp32")
    assert operation.in_engine_format() == AllReduce(4, "y", 2) and Gemv(1, 2).in_engine_format() == Gemv(1, 2)
    assert operation.along_x() == AllReduce(4, "x", 2, precision="fp32")


def test_what_is_under_way_after_an_operation():
    """Chains end PE by PE; after a multicast to all PEs nothing is under way behind it."""
    assert all(operation.leaves_words_under_way for operation in (Reduce(1, "x"), TwoPhaseReduce(1, "x", 2), Reduce2D(1),
                                                                  AllReduce(1, "x", segment=2)))
    assert not any(operation.leaves_words_under_way for operation in (AllReduce(1, "x"), TreeAllReduce(1, "x"), AllReduce2D(1),
                                                                      KTreeAllReduce(1, "x", (2,))))
    assert Broadcast(1, "x").settles and Broadcast2D(1).settles and not Reduce(1, "x").settles
    engine = FlowEngine("wse3", 5, 4)
    assert Broadcast(1, "y", 9).first_sender(engine) == 3 and Broadcast(1, "y", 1, 2).first_sender(engine) is None
    assert Broadcast2D(1, 2, 3).first_sender(engine) == 3 * 5 + 2 and Reduce(1, "x").first_sender(engine) is None


def test_engines_are_siblings():
    assert issubclass(FlowEngine, Engine) and issubclass(CycleEngine, Engine) and not issubclass(CycleEngine, FlowEngine)
    asked = {name for name in (*Clocks.__annotations__, *vars(Clocks)) if not name.startswith("_")}
    assert asked <= set(dir(FlowEngine("wse3", 1, 1)))


def test_a_program_that_an_operation_does_not_have_is_refused():
    class Wait(Operation):
        axis, elements = None, None

        def time(self, engine):
            engine.spend(overhead=3)

        def flow(self, engine, *tiles):
            self.time(engine)

    engine = CycleEngine("wse3", 2, 2)
    engine.time(Wait())
    assert engine.cycles == 3 and engine.link_traversals == 0 and engine.notes == {}
    with pytest.raises(InputError, match="Wait has no program for the cycle engine"):
        Wait().emit(None, None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_asks_what_an_operation_is_by_its_attributes_or_its_name(path):
    text = path.read_text()
    assert not re.search(r"\b(hasattr|getattr)\(", text)
    assert not re.search(r"__name__ *==|__name__\.startswith|TYPE_CHECKING|(:|->) \"(Flow|Cycle)Engine\"", text)


def test_the_contract_imports_no_engine_and_no_operation():
    text = (Path(wsekern.ops.__file__).parent / "operation.py").read_text()
    asked = [line for line in text.splitlines() if line.startswith(("from", "import")) and "wsekern.ops" in line]
    assert asked == ["from wsekern.ops.pieces import Pieces", "from wsekern.ops.repeated import Repeated"]     # forms of values


def test_local_work_is_named_by_its_kind_and_size():
    assert Local("exp", 4, 2).label == "exp of 2 rows of 4" and Reduce(1, "x").label == "Reduce"

"""What a fabric refuses because it cannot be, through its Python face and through the state behind it."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.fabric import Fabric, FabricPlan, Route, make_route
from wsekern.fabric._routing import State
from wsekern.fabric.plan import Rules


def line() -> FabricPlan:
    plan = FabricPlan(2, 1, "wse2")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "WEST", "RAMP", x=1)
    return plan


@pytest.mark.parametrize("masks", [((-1,), (2,)), ((1, 2), (1,)), ((), ()), ((0,), (1,)), ((1,), (32,)), ((1.0,), (1,)),
                                   ((1,) * 5, (1,) * 5)])
def test_masks_that_are_no_route(masks):
    with pytest.raises(InputError, match="masks of ports"):
        Route(*masks)


def test_settings_that_are_no_switch():
    for make in (lambda: make_route("W", "E", (1,)), lambda: Route((1,), (2,), initial=1), lambda: Route((1,), (2,), pop=4)):
        with pytest.raises(InputError):
            make()


@pytest.mark.parametrize("filters", [None, -1, 2.0])
def test_rules_with_a_number_of_filters_that_is_none(filters):
    with pytest.raises(InputError, match="filters"):
        FabricPlan(2, 1, Rules(filters=filters))


def test_a_state_of_no_plan_and_a_copy_of_no_state():
    with pytest.raises(TypeError):
        State(None, np.zeros(24, np.uint8))
    with pytest.raises(TypeError):
        Fabric(line()).state.copy_from(None)


@pytest.mark.parametrize(("pes", "data", "flags"), [
    (np.zeros(3), (1, 64), None), (np.zeros(1), (2, 4), None), (np.zeros(2), (2, 4), (2, 3)), (np.zeros(2), (2, 4), (1, 4))])
def test_words_for_more_pes_than_there_are_rows(pes, data, flags):
    state = Fabric(line()).state
    bits = None if flags is None else np.zeros(flags, np.uint8)
    with pytest.raises(InputError, match="a row for each PE"):
        state.inject(pes.astype(np.uint32), 4, 0, np.zeros(data, np.uint32), bits)
    assert state.waiting_outside == 0

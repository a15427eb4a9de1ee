"""A simulation as part of a host: streams in and out, runs that say why they stop, bytes, callbacks."""

import copy
import pickle

import numpy as np
import pytest

from wsekern.errors import DeadlineError, InputError
from wsekern.fabric import Stop
from wsekern.program import Layout, Program, Simulation

WORDS = 12


def doubling(width: int = 4) -> Layout:
    """Words come in from the west, are doubled by the PE in the middle, and leave to the east."""
    layout = Layout("wse3", width, 1, open_edges=True)
    pe = Program("doubles")
    with pe.task("go", active=True) as code:
        numbers = pe.array("numbers", "u32", WORDS)
        code.mov32(numbers, pe.fabin(0, WORDS, "u32"))
        code.add32(numbers, numbers, numbers)
        code.mov32(pe.fabout(1, WORDS, "u32"), numbers)
    middle = width // 2
    layout.set_program(pe, middle)
    layout.set_route(0, "W", "E", width=middle)
    layout.set_route(0, "W", "RAMP", middle)
    layout.set_route(1, "RAMP", "E", middle)
    layout.set_route(1, "W", "E", middle + 1, width=width - middle - 1)
    return layout


def finished(simulation: Simulation) -> tuple:
    """All that a run to its end leaves."""
    simulation.run()
    return (simulation.cycle, simulation.receive().tolist(), simulation.memcpy_d2h("numbers").tolist(),
            {name: counts.tolist() for name, counts in simulation.counters().items()}, simulation.link_traversals)


def started(threads: int = 1) -> Simulation:
    simulation = doubling().compile(threads)
    simulation.send(0, list(range(WORDS)), 0, 0)
    return simulation


def test_a_host_goes_on_cycle_by_cycle_as_one_run_does():
    one, two = started(), started()
    ended = finished(one)
    received = []
    while two.cycle < ended[0]:
        two.step()
        received += two.receive().tolist()
    assert received == ended[1] and [word[-1] for word in received] == [2 * k for k in range(WORDS)]


def test_runs_say_why_they_stop():
    simulation = started()
    assert simulation.run(until=3, stop="delivery") == Stop.TIME and simulation.cycle == 3
    assert simulation.run(stop="delivery idle") == Stop.DELIVERY
    first = simulation.receive()
    assert first["data"].tolist() == [0] and first["cycle"].tolist() == [simulation.cycle - 1]
    assert simulation.run(stop="idle") == Stop.IDLE and simulation.run(until=simulation.cycle + 9, stop="deadlock") == Stop.TIME
    assert simulation.receive()["data"].tolist() == [2 * k for k in range(1, WORDS)]
    lacking = doubling().compile()
    lacking.send(0, list(range(WORDS - 1)), 0, 0)
    assert lacking.run(stop="idle deadlock") == Stop.DEADLOCK and "words" in lacking.wait_report()
    with pytest.raises(DeadlineError):
        started().run(5)
    for wrong in ({"stop": "never"}, {"stop": ""}, {"until": 7}, {"until": -1, "stop": "idle"},
                  {"stop": "idle", "patience": -1}):
        with pytest.raises(InputError):
            simulation.run(**wrong)


def test_the_next_event_lets_a_host_sleep():
    simulation = started()
    cycles = []
    while (event := simulation.next_event) is not None:
        simulation.step(max(1, event - simulation.cycle))
        cycles.append(simulation.cycle)
    assert simulation.receive()["data"].tolist() == [2 * k for k in range(WORDS)] and cycles == sorted(set(cycles))


def test_callbacks_hear_each_word_in_its_cycle():
    simulation, expected = started(), finished(started())[1]
    heard = []
    simulation.on_delivery(lambda word: heard.append((simulation.cycle, word)))
    simulation.run()
    assert [tuple(word) for _, word in heard] == expected and all(cycle == word.cycle + 1 for cycle, word in heard)
    assert not len(simulation.receive()), "they were handed over"
    simulation.reset()
    simulation.send(0, list(range(WORDS)), 0, 0)
    simulation.on_delivery(lambda word: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        simulation.run()


@pytest.mark.parametrize("way", ["bytes", "file", "pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("cycle", [0, 5, 17, 33, 60])
def test_a_second_simulation_goes_on_from_any_cycle(way, cycle, tmp_path):
    simulation = started()
    simulation.step(cycle)
    simulation.save(tmp_path / "a.simulation")
    other = {"bytes": lambda: Simulation.from_bytes(simulation.to_bytes(), doubling(), threads=2),
             "file": lambda: Simulation.from_bytes(tmp_path / "a.simulation", doubling()),
             "pickle": lambda: pickle.loads(pickle.dumps(simulation)), "copy": lambda: copy.copy(simulation),
             "deepcopy": lambda: copy.deepcopy(simulation)}[way]()
    assert other.cycle == cycle
    assert finished(other) == finished(simulation)


def test_words_that_were_not_received_are_kept():
    simulation = started()
    simulation.run()
    simulation.send(0, [5], 0, 0)
    assert len(simulation.receive(color=3)) == 0
    again = pickle.loads(pickle.dumps(simulation))
    assert again.receive(color=1).tolist() == simulation.receive().tolist() != []


def test_bytes_that_do_not_fit_are_refused_and_change_nothing():
    simulation = started()
    simulation.step(20)
    saved = simulation.to_bytes()
    random = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(saved)
        place = int(random.integers(len(saved)))
        damaged[place] ^= 1 << int(random.integers(8))
        with pytest.raises(InputError):
            simulation.load(bytes(damaged[:place] if place % 2 else damaged))
    with pytest.raises(InputError):
        doubling(5).compile().load(saved)
    for wrong in (b"", "no file", None):
        with pytest.raises(InputError):
            simulation.load(wrong)
    assert finished(simulation) == finished(started())

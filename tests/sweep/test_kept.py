"""What a process keeps between points: that of a few models."""

from functools import lru_cache
from itertools import groupby

from wsekern.cluster.hardware import load_gpu
from wsekern.garbage import forget
from wsekern.machine import load_machine
from wsekern.planning.estimator import estimator
from wsekern.sweep import processes
from wsekern.sweep.batches import batches
from wsekern.sweep.spec import Spec, plan_of


def test_what_this_package_keeps_is_forgotten_and_nothing_else():
    @lru_cache
    def other(number: int) -> int:
        return number

    other(1)
    before = estimator(load_machine("wse3"), "silicon", "fp16")
    assert estimator(load_machine("wse3"), "silicon", "fp16") is before
    forget()
    assert estimator(load_machine("wse3"), "silicon", "fp16") is not before
    assert other.cache_info().currsize == 1


def test_what_all_models_share_lasts():
    machine, gpu = load_machine("wse3"), load_gpu("h100")
    forget()
    assert load_machine("wse3") is machine and load_gpu("h100") is gpu


def test_a_process_forgets_when_another_model_is_one_too_many(monkeypatch):
    forgotten: list[str] = []
    monkeypatch.setattr(processes, "_kept", set())
    monkeypatch.setattr(processes, "case_of", lambda inputs: inputs["model"])
    monkeypatch.setattr(processes, "answer", lambda model: {"model": model})
    monkeypatch.setattr(processes, "forget", lambda: forgotten.append("all"))
    counts = []
    for model in "abcabcdda":
        processes.record_of({"model": model})
        counts.append(len(forgotten))
    assert counts == [0, 0, 0, 0, 0, 0, 1, 1, 1]


def test_all_batches_of_a_model_follow_one_another():
    plan = plan_of(Spec(grid={"cluster": ["h100x8", "b200x8"], "model": ["llama3-8b", "qwen3-4b"], "batch": [1, 2]}))
    models = [point.inputs["model"] for batch in batches(plan.points, 1) for point in batch]
    assert len(list(groupby(models))) == 2


def test_a_worker_stays_with_its_model():
    """Whoever is done goes on with the model that it knows, and begins one at which nobody else is."""
    plan = plan_of(Spec(grid={"model": ["llama3-8b", "qwen3-4b", "yi-6b"], "batch": [1, 2]}))
    there, waiting, taken = processes.Processes(2), [[point] for point in plan.points], list[str]()
    for number, done in enumerate(("", "", "llama3-8b", "qwen3-4b", "qwen3-4b", "llama3-8b")):
        taken.append(str(there._taken(waiting, done)[0].inputs["model"]))
        there._workers[number % 2] = processes._Worker(None, model=taken[-1])
    assert taken == ["llama3-8b", "qwen3-4b", "llama3-8b", "qwen3-4b", "yi-6b", "yi-6b"] and not waiting

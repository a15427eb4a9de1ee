"""Runs kept in files: what goes on from any of them ends with the same bits and cycles, and nothing else goes on."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from safetensors.numpy import load

import wsekern
from tests.fuzz.figures import keep
from tests.inference.conftest import random_model
from tests.inference.test_experts import MIXTURES
from tests.inference.test_mapping import with_parts
from tests.inference.test_recurrent import PARTS, model_of
from wsekern.errors import InputError
from wsekern.inference.execution import Drafting, execute
from wsekern.inference.generate import Generation, SavedRun
from wsekern.inference.kept_run import Keeping, read_run, write_run
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PROGRAM_SETS
from wsekern.inference.sampling import Sampler
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.repeated import Repeated
from wsekern.workload import uniform
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path
from wsekern.workload.weights.weights import random_weights

WSE3 = load_machine("wse3")
IDENTITY = {"model": "tiny", "wsekern": "1"}


@pytest.fixture(scope="module")
def sample():
    return load_checkpoint(sample_path())


def mixture(name):
    config = with_parts(uniform(name="tiny", layers=2, hidden=14, heads=2, kv_heads=1, head_dim=8, ffn=11, vocab=40,
                                max_context=64), feed=MIXTURES[name])
    return config, random_weights(config)


MODELS = {
    "dense": random_model, "window": lambda: random_model(windows=(5, None)),
    "delta": lambda: model_of(PARTS["delta"]), "mamba2": lambda: model_of(PARTS["mamba2"]),
    "convolution": lambda: model_of(PARTS["convolution"]),
    "mixtral": lambda: mixture("mixtral"), "deepseek-v3": lambda: mixture("deepseek-v3"),
}


def bits(model: WaferModel) -> list:
    """All that a model keeps and has counted."""
    caches = [(name, Repeated.of(tiles).full().tobytes()) for cache in model._caches for name, tiles in cache.items()]
    engine = model.engine
    return [caches, model.length, model._furthest, engine.clock.tobytes(), engine.breakdown, engine.notes,
            engine.link_traversals, dict(model.cycles_by_part), engine.start()]


@pytest.mark.parametrize(("name", "precision", "engine", "programs"), [
    *((name, "fp16", FlowEngine, "default") for name in MODELS), ("window", "bf16", FlowEngine, "2024-08"),
    ("dense", "fp32", BothEngines, "default"), ("mixtral", "fp16_fp32", FlowEngine, "2024-08")])
def test_a_model_goes_on_as_if_it_had_never_stopped(tmp_path, name, precision, engine, programs):
    config, weights = MODELS[name]()
    mapping = Mapping(config, 3, 4, precision, 24, 4, programs=PROGRAM_SETS[programs].programs)
    first, second = (WaferModel(config, weights, WSE3, mapping, engine=engine) for _ in range(2))
    first.prefill([3, 1, 4, 1, 5, 9])
    first.decode(2)
    write_run(tmp_path / "a.run", SavedRun(Generation([3]), 0, {}, first.saved(), None), IDENTITY)
    second.restore(read_run(tmp_path / "a.run", IDENTITY).model)
    assert bits(first) == bits(second)
    for token in (6, 5, 3):
        assert first.decode(token).tobytes() == second.decode(token).tobytes()
        assert bits(first) == bits(second)


class Recorder(Keeping):
    """Keeps every point that a run could go on from, in files of their own."""

    def __init__(self, folder, identity):
        super().__init__(folder, identity=identity)
        self.files = []

    def keep(self, reached, last):
        self.files.append(self.save / f"{len(self.files)}.run")
        write_run(self.files[-1], reached(), self.identity)


def whole(generation: Generation) -> dict:
    return {**vars(generation), "prompt_logits": generation.prompt_logits.tobytes()}


@pytest.mark.parametrize(("sampler", "draft"), [
    (Sampler(temperature=0.7, seed=3), None), (Sampler(), "ngram"), (Sampler(repetition_penalty=1.3), "model")])
def test_a_run_ends_the_same_from_wherever_it_goes_on(tmp_path, sample, sampler, draft):
    prompt = "Once upon a time there was a wolf who lived in the wood. The wolf was a good wolf, and so was the fox. "
    prompt += "Once upon a time there was"
    drafting = draft and Drafting(3, sample if draft == "model" else draft)
    given = dict(sampler=sampler, drafting=drafting, check="none")
    recorder = Recorder(tmp_path, {})
    done = execute(sample, WSE3, prompt, 5, keeping=recorder, **given)
    text, read = [], []
    assert len(recorder.files) > 5
    for file in (recorder.files[0], random.Random(1).choice(recorder.files[2:-1]), recorder.files[-1]):
        text.clear(), read.clear()
        again = execute(sample, WSE3, prompt, 5, keeping=Keeping(resume=file), on_text=text.append, on_chunk=read.append,
                        **given)
        assert whole(again.generation) == whole(done.generation) and again.to_dict() == done.to_dict()
        assert "".join(text) == done.text and sum(read) == len(done.generation.prompt_tokens)


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch, sample):
    expected = execute(sample, WSE3, "The fox", 6).to_dict()
    decode, calls = FlowEngine.values, []

    def values(self, operation, *tiles):
        calls.append(operation)
        if len(calls) == 400:
            raise KeyboardInterrupt
        return decode(self, operation, *tiles)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FlowEngine, "values", values)
        execute(sample, WSE3, "The fox", 6, keeping=Keeping(tmp_path / "a.run", seconds=0.0))
    assert os.listdir(tmp_path) == ["a.run"]
    assert execute(sample, WSE3, "The fox", 6, threads=2, keeping=Keeping(resume=tmp_path / "a.run")).to_dict() == expected


@pytest.fixture(scope="module")
def kept(tmp_path_factory, sample):
    """The file of a run that is done."""
    path = tmp_path_factory.mktemp("kept") / "a.run"
    execute(**PLAIN, checkpoint=sample, keeping=Keeping(path))
    return path


PLAIN = dict(machine=WSE3, prompt="The fox", count=2, check="none")


@pytest.mark.parametrize(("given", "reason"), [
    (dict(precision="bf16"), "precision fp16, and this run has bf16"), (dict(count=3), "tokens 2, and this run has 3"),
    (dict(prompt="The wolf"), "prompt tokens"), (dict(grid=(17, 16)), "grid none, and this run has 17x16"),
    (dict(sampler=Sampler(seed=1)), "seed 0, and this run has 1"), (dict(engine="cycle"), "engine flow"),
    (dict(drafting=Drafting(2, "ngram")), "speculate none"), (dict(machine=load_machine("wse2")), "machine wse3"),
    (dict(profile="vendor-simulator"), "profile silicon"), (dict(weight_precision="int8"), "weight precision , ")])
def test_another_run_is_refused_by_what_differs(sample, kept, given, reason):
    with pytest.raises(InputError, match=f"cannot resume .*a.run: it was saved with {reason}.*give the same, or start anew"):
        execute(**{"checkpoint": sample} | PLAIN | given, keeping=Keeping(resume=kept))


def test_another_model_machine_or_version_of_the_same_name_is_refused(sample, kept, monkeypatch):
    other = replace(sample, config=replace(sample.config, max_context=sample.config.max_context + 1))
    with pytest.raises(InputError, match="the model's files"):
        execute(**PLAIN, checkpoint=other, keeping=Keeping(resume=kept))
    slower = msgspec.structs.replace(WSE3, clock=msgspec.structs.replace(WSE3.clock, value=1e9))
    with pytest.raises(InputError, match="the machine's description"):
        execute(**PLAIN | {"machine": slower}, checkpoint=sample, keeping=Keeping(resume=kept))
    monkeypatch.setattr(wsekern, "__version__", "9.9", raising=False)
    with pytest.raises(InputError, match=r"saved with wsekern .*, and this run has 9\.9"):
        execute(**PLAIN, checkpoint=sample, keeping=Keeping(resume=kept))


def test_weights_that_differ_by_a_bit_are_another_model(sample, tmp_path):
    folder = tmp_path / "sample"
    shutil.copytree(sample.folder, folder)
    assert load_checkpoint(folder).digest() == sample.digest()
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    assert load_checkpoint(folder).digest() != sample.digest()


def test_a_file_that_was_cut_or_altered_or_is_none_is_refused(kept, tmp_path):
    whole, draw, damaged = kept.read_bytes(), random.Random(1), tmp_path / "b.run"
    cuts = [whole[:length] for length in (0, 1, 8, 9, len(whole) // 2, len(whole) - 1, *draw.sample(range(len(whole)), 20))]
    for place in draw.sample(range(len(whole)), 60):
        cuts.append(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1:])
    for data in (*cuts, b"{}", whole + b"x"):
        damaged.write_bytes(data)
        with pytest.raises(InputError, match=r"cannot resume .*b\.run: it was (cut|altered)"):
            read_run(damaged, {})
    with pytest.raises(InputError, match="Is a directory"):
        read_run(tmp_path, {})


HOST = """
import os, sys
from wsekern.inference.execution import execute
from wsekern.inference.kept_run import Keeping
from wsekern.inference.sampling import Sampler
from wsekern.machine import load_machine
from wsekern.output import to_json
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

path, tokens = sys.argv[1], int(sys.argv[2])
keeping = Keeping(path, path if os.path.exists(path) else None, 0.0)
done = execute(load_checkpoint(sample_path()), load_machine("wse3"), "Once upon a time", tokens, check="none",
               sampler=Sampler(temperature=0.8), keeping=keeping, on_token=lambda token: os.write(1, b"."))
os.write(1, to_json([done.to_dict(), done.generation.prompt_logits.tolist()]).encode())
"""
KILLS = int(os.environ.get("WSEKERN_KILLS", "3"))
"""How often a run is killed: 100 by hand."""


def test_a_run_that_is_killed_at_any_moment_loses_one_token_at_most(tmp_path):
    draw, path, tokens = random.Random(int(os.environ.get("WSEKERN_SEED", "0"))), tmp_path / "a.run", 3 * KILLS
    whole = [sys.executable, "-c", HOST, tmp_path / "whole.run", str(tokens)]
    expected = subprocess.run(whole, capture_output=True, check=True)
    for _ in range(KILLS):
        kept = tokens_in(path)
        with subprocess.Popen([sys.executable, "-c", HOST, path, str(tokens)], stdout=subprocess.PIPE) as host:
            seen = len(host.stdout.read(kept + 1))      # what was kept is told again, and one more
            time.sleep(draw.random() * 0.2)
            host.kill()
            seen += host.stdout.read().split(b"[")[0].count(b".")
        assert seen - 1 <= tokens_in(path) <= seen + 1
        assert {name for name in os.listdir(tmp_path) if not name.startswith(".wsekern.")} <= {"whole.run", "a.run"}
    done = subprocess.run([sys.executable, "-c", HOST, path, str(tokens)], capture_output=True, check=True)
    assert done.stdout == expected.stdout
    if "WSEKERN_ADD" in os.environ:
        figures = {"kills": KILLS, "survived": KILLS}
        keep(Path(os.environ["WSEKERN_ADD"]), "kills", {"runs of a model": figures}, tuple(figures))


def tokens_in(path) -> int:
    """How many tokens the file has; 0 where there is none."""
    if not path.exists():
        return 0
    return len(json.loads(load(path.read_bytes())["told"].tobytes())["run"]["generation"]["tokens"])

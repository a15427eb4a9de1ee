"""A whole decode token of a model on one grid, every value on every PE, with weights drawn at random; by hand:

    python bench/whole_token.py [--model llama3-8b] [--layers N] [--vocab N] [--grid 690] [--cached 4000] [--threads 2]
    python bench/whole_token.py --engine cycle --one-layer      every wavelet of all layers

Weights and cache stay in memory, some 18 GB for all of Llama-3-8B; drawing them is not counted. ``memory_seconds`` is what
reading weights and cache once would take at the rate at which this machine reads memory in the same run: no token can be
quicker. After each layer the clocks of all PEs are compared with those of ``predict``'s list of steps, timed without values.
With ``--one-layer`` all layers have the weights of the first, some 6 GB with the head, and a cache each.
"""

import argparse
import dataclasses
import json
import resource
import threading
import time
from pathlib import Path

import numpy as np

from wsekern.inference.layer import layer_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps
from wsekern.inference.residency import bytes_of
from wsekern.inference.step_times import time_layer
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.output import run_and_exit
from wsekern.soak.figures import put
from wsekern.workload import load_config
from wsekern.workload.config import ModelConfig
from wsekern.workload.weights.shapes import block_shapes, outer_shapes
from wsekern.workload.weights.weights import Arrays, Weights

ENGINES = {"flow": FlowEngine, "cycle": CycleEngine}
WORKING_BYTES = 2_000_000_000
"""Beside weights and cache: the interpreter, a matrix while it is drawn and cut, and the values of a layer."""


class Drawn(Weights):
    """Weights that are drawn when they are asked for, and not kept: fp16 matrices of variance 1 / inputs, gains about 1."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config

    def block(self, index: int) -> Arrays:
        """Weights of one block."""
        return self._draw(block_shapes(self._config.blocks[index], self._config.hidden), index)

    @property
    def outer(self) -> Arrays:
        """Weights outside the blocks."""
        arrays = self._draw(outer_shapes(self._config), len(self._config.blocks))
        return {"head": arrays["embedding"].T, **arrays}

    def _draw(self, shapes: dict[str, tuple[int, ...]], seed: int) -> Arrays:
        random, made = np.random.default_rng(seed), {}
        for name, shape in shapes.items():
            values = random.standard_normal(shape, np.float32)
            values *= np.float32(0.1 if len(shape) == 1 else shape[-2] ** -0.5)
            made[name] = values + 1 if len(shape) == 1 else values.astype(np.float16)
        return made


class Beside:
    """The clocks of ``predict``'s steps without values, layer by layer, beside those of ``model``."""

    def __init__(self, model: WaferModel) -> None:
        self.model, mapping = model, model.mapping
        self.engine = FlowEngine(model.engine.machine, mapping.width, mapping.height, precision=mapping.precision)
        self.same = 0

    def on_layer(self, passed: int, exit: object) -> None:
        """Time what came since the last call, and compare the clocks of all PEs."""
        mapping, slots = self.model.mapping, -(-(self.model.length + 1) // self.model.mapping.height)
        steps = layer_steps(mapping, mapping.config.blocks[passed - 1], 1, slots) if passed else \
            embedding_steps(mapping, [1], self.model.length)
        for step in steps:
            step.time(self.engine)
        np.testing.assert_array_equal(self.engine.clock, self.model.engine.clock)
        self.same += bool(passed)


def memory_rate(threads: int) -> float:
    """Bytes a second at which ``threads`` threads read memory."""
    parts = np.ones((threads, 16_000_000), np.float32)
    readers = [threading.Thread(target=part.max) for part in parts]
    start = time.perf_counter()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return parts.nbytes / (time.perf_counter() - start)


def check_memory(mapping: Mapping) -> None:
    """End with a sentence where weights and cache of ``mapping`` find no room."""
    needed = WORKING_BYTES + mapping.width * mapping.height * sum(mapping.memory[part] for part in ("weights", "kv_cache"))
    with open("/proc/meminfo", encoding="ascii") as file:
        free = 1024 * next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    if needed > free:
        raise SystemExit(f"{mapping.config.layers} layers take about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
                         "end other programs, or give fewer --layers or --one-layer")


def draw(config: ModelConfig, mapping: Mapping, kind: str, threads: int, one_layer: bool) -> WaferModel:
    """The model with its weights; those of its first layer in all where ``one_layer`` says so."""
    if not one_layer:
        check_memory(mapping)
        return WaferModel(config, Drawn(config), load_machine("wse3"), mapping, threads=threads, engine=ENGINES[kind])
    if len(set(config.blocks)) > 1:
        raise SystemExit(f"{config.name} has layers of {len(set(config.blocks))} kinds: --one-layer takes models with one")
    alone = dataclasses.replace(config, blocks=config.blocks[:1])
    model = draw(alone, dataclasses.replace(mapping, config=alone), kind, threads, False)
    model.layers = list(model.layers) * config.layers
    model.config, model.mapping, model._kind_of_layer = config, mapping, [0] * config.layers
    model.reset()
    return model


def measured(model: WaferModel, cached: int, tokens: int) -> dict[str, float]:
    """Seconds of the first and of the quickest of some tokens after ``cached`` ones; then once more beside predict's clocks."""
    seconds = []
    for _ in range(tokens + 1):
        model.length = cached
        start = time.perf_counter()
        logits = model.decode(1)
        seconds.append(time.perf_counter() - start)
    if not np.isfinite(logits).all():
        raise SystemExit("logits that are no numbers")
    model.reset()
    model.length = cached
    beside = Beside(model)
    model.decode(1, beside.on_layer)
    return {"seconds": min(seconds[1:]), "first_seconds": seconds[0], "layers_with_the_clocks_of_predict": beside.same}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama3-8b")
    parser.add_argument("--engine", choices=ENGINES, default="flow", help="cycle: every wavelet")
    parser.add_argument("--one-layer", action="store_true", help="the weights of the first layer in all")
    for name, default in (("layers", 0), ("vocab", 0), ("grid", 690), ("cached", 4000), ("threads", 2), ("tokens", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path, help="a file of figures, docs/performance.json, to write these into as well")
    asked = parser.parse_args()
    whole = load_config(asked.model)
    config = dataclasses.replace(whole, blocks=whole.blocks[:asked.layers or None], vocab=asked.vocab or whole.vocab)
    mapping = Mapping(config, asked.grid, asked.grid, "fp16", context=asked.cached + 8)
    start = time.perf_counter()
    model = draw(config, mapping, asked.engine, asked.threads, asked.one_layer)
    made = time.perf_counter() - start
    size = sum(map(bytes_of, [*model.layers, *model._caches])) + bytes_of({"head": model._model["model.head"]})
    found = measured(model, asked.cached, asked.tokens)
    slots, rate = -(-(asked.cached + 1) // asked.grid), memory_rate(asked.threads)
    predicted = time_layer(model.engine.machine, mapping, 1, slots, "silicon", config.blocks[0]).cycles
    figures = {
        "model": asked.model, "engine": asked.engine, "layers": config.layers, "one_layers_weights": asked.one_layer,
        "grid": asked.grid, "threads": asked.threads, "drawn_in_seconds": made, **found,
        "cycles_per_layer_of_predict": predicted, "bytes_read": size, "memory_bytes_per_second": rate,
        "memory_seconds": size / rate, "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    print(json.dumps(figures, indent=2))
    if asked.keep:
        put(asked.keep, "whole_token" if asked.engine == "flow" else "whole_token_by_wavelet", figures)


if __name__ == "__main__":
    run_and_exit(main)

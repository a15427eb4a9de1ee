"""One model, executed on the simulated wafer and checked against the plain reference."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from wsekern.errors import InputError, check_flag
from wsekern.inference.drafts import Drafter, FirstLayers, NGrams, SmallModel
from wsekern.inference.generate import (
    Check,
    CheckedTokens,
    Generation,
    check_generation,
    check_length,
    default_grid,
    generate,
)
from wsekern.inference.kept_run import Keeping
from wsekern.inference.kept_weights import KeptWeights, share_rounded
from wsekern.inference.layer import check_formats
from wsekern.inference.many_wafers import ManyWafers, cut
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs, program_set
from wsekern.inference.reference import Activations
from wsekern.inference.run_log import RunLog, corners
from wsekern.inference.sampling import Sampler
from wsekern.inference.speculative import Speculated, Speculator, speculator
from wsekern.inference.spread import on_workers
from wsekern.inference.wafer import WaferModel
from wsekern.machine import Machine
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines, OnLinks
from wsekern.ops.local.rows import Form
from wsekern.shown import Shown
from wsekern.workload.checkpoint import Checkpoint, load_checkpoint
from wsekern.workload.config import ModelConfig
from wsekern.workload.sample import SAMPLE_PROMPT, sample_path
from wsekern.workload.speculation import check_drafted, check_vocabulary, layers_of
from wsekern.workload.weights.weights import Weights

SAMPLE_TOKENS = 52
"""How much of its default prompt's story the bundled sample tells: two sentences."""

PREFILL_CHUNKS = (32, 16, 8)
"""Prompt tokens that pass through the layers together when a model is executed: the most that fit the grid."""

ENGINES = {"flow": FlowEngine, "cycle": BothEngines}


@dataclass(frozen=True)
class Drafting:
    """Up to ``drafted`` tokens in a pass, from ``draft``: ``ngram``, ``layer:N`` or a smaller model. The time is that of tokens
    that follow each other through ``regions`` regions (default: one for each layer) of the size of the grid."""

    drafted: int
    draft: str | Checkpoint
    regions: int | None = None

    def __post_init__(self) -> None:
        check_drafted(self.drafted)


@dataclass(frozen=True, repr=False)
class Execution(Shown):
    """A model that ran with all its values on a simulated wafer."""

    machine: Machine
    mapping: Mapping
    prompt: str
    text: str
    generation: Generation
    check: Check | None = None
    """None: the reference was not asked."""
    both_engines: dict[str, int] | None = None
    """Where operations also ran wavelet by wavelet: how many, and the largest difference of a clock in cycles."""
    speculated: Speculated | None = None
    """What drafts were worth, where there were any."""
    log: RunLog | None = None
    """Every operation and its clocks, where that was asked for."""
    rounded: float | None = None
    """Share of the weights of the first layer's packed matrices that were rounded anew; None: none is packed."""
    wafers: int = 1
    """Each with some of the layers, on a grid of its own."""

    @property
    def cycles_per_token(self) -> float:
        """Mean cycles of a decoded token; 0 if only the prompt ran."""
        return self.generation.cycles_per_token

    @property
    def same_as_reference(self) -> bool | None:
        """Whether the tokens that the reference repeated are the same; None: it was not asked."""
        return self.check.same if self.check else None

    def to_dict(self) -> dict:
        """Plain data for JSON; keys carry units."""
        clock, steps = float(self.machine.clock), self.generation
        rate = clock / self.cycles_per_token if self.cycles_per_token else None
        return {"prompt": self.prompt, "text": self.text, "prompt_tokens": len(steps.prompt_tokens),
                "prompt_token_ids": steps.prompt_tokens,
                "output_tokens": len(steps.tokens), "tokens": steps.tokens, "machine": self.machine.name,
                "grid": f"{self.mapping.width}x{self.mapping.height}", "wafers": self.wafers,
                "precision": self.mapping.precision,
                "activations": self.mapping.form, "programs": asdict(self.mapping.programs),
                "weight_precision": self.mapping.weight_precision or self.mapping.precision,
                "cache_precision": self.mapping.cache_precision or self.mapping.precision, "share_rounded": self.rounded,
                "prefill_cycles": steps.prefill_cycles, "cycles_per_token": self.cycles_per_token,
                "prefill_seconds": steps.prefill_cycles / clock, "tokens_per_second": rate, "clock_hertz": clock,
                "cycles_by_part": steps.cycles_by_part, "breakdown_cycles": steps.breakdown,
                "link_traversals": steps.link_traversals, "memory_per_pe_bytes": self.mapping.memory,
                "same_tokens_as_reference": self.same_as_reference,
                "tokens_checked": self.check.tokens if self.check else 0,
                "largest_logit_difference": self.check.logit_difference if self.check else None,
                "both_engines": self.both_engines,
                "speculation": self.speculated.to_dict() if self.speculated else None}


def execute(checkpoint: Checkpoint, machine: Machine, prompt: str, count: int, *, precision: str = "fp16",
            grid: tuple[int, int] | None = None, engine: str = "flow", sampler: Sampler | None = None,
            profile: str = "silicon", threads: int = 1, prompt_tokens: list[int] | None = None,
            on_token: Callable[[int], None] | None = None, on_chunk: Callable[[int], None] | None = None,
            on_text: Callable[[str], None] | None = None, activations: Form | None = None,
            check: CheckedTokens = "first", memory: int | None = None, drafting: Drafting | None = None,
            programs: Programs | None = None, weight_precision: str = "", cache_precision: str = "",
            keeping: Keeping | None = None, logged: bool = False, on_links: OnLinks | None = None,
            feed_width: int = 0, wafers: int = 1, client: Any = None) -> Execution:
    """Generate up to ``count`` tokens after ``prompt``, and let the plain reference ``check`` them.

    ``engine``: ``flow`` runs whole operations; ``cycle`` also moves every wavelet of every operation that sends.
    ``prompt_tokens``: ``prompt`` encoded, where the caller has done so. ``on_...`` as in :func:`generate`; ``activations`` as
    and ``programs`` as in :class:`Mapping` (None: those of today's set): the reference computes the same functions.
    ``sampler``: default greedy. ``memory`` as in :class:`WaferModel`. With ``drafting`` the tokens are the same, and the cycles
    those of passes that check drafts. ``weight_precision`` and ``cache_precision`` as in :class:`Grid`: the reference
    computes with the weights as PEs keep them, and with a cache in float32. ``keeping``: the file that keeps the run as it
    goes, and the one from which it goes on to the same end, whatever ``threads``, ``memory`` and ``check`` are. ``logged``:
    keep the clocks of every operation; ``on_links`` sees what each sends over the links of every PE, by the ``cycle`` engine.
    ``feed_width``: columns beside the grid for feed-forward parts alone, as in :class:`Grid`. ``wafers``: how many the layers
    are dealt to, each stepped here or by a worker of a Dask ``client``; several go without drafts, ``keeping``, ``logged``,
    ``on_links`` and ``feed_width``.
    """
    sampler, logged = sampler or Sampler(), check_flag(logged, "logged of a run")
    ids = checkpoint.encode(prompt) if prompt_tokens is None else prompt_tokens
    if keeping is not None:
        keeping.open(_identity(checkpoint, machine, sampler, drafting, prompt_tokens=ids, tokens=count, precision=precision,
                               grid=grid and f"{grid[0]}x{grid[1]}", engine=engine, profile=profile, activations=activations,
                               programs=programs, weight_precision=weight_precision, cache_precision=cache_precision,
                               feed_width=feed_width or None))
    context, drafted = check_length(checkpoint, ids, count), drafting.drafted if drafting else 1
    chunk = max(min(len(ids), PREFILL_CHUNKS[0]), drafted)  # windows keep what so many tokens look back to
    log = RunLog() if logged else None
    placed: dict[str, Any] = dict(
        context=context, chunk=chunk, precision=precision, grid=grid, engine=engine, profile=profile, threads=threads,
        activations=activations, memory=memory, programs=programs, weight_precision=weight_precision,
        cache_precision=cache_precision)
    if wafers > 1 or client is not None:
        _check_alone(drafting, keeping, log, on_links, feed_width)
        model: WaferModel | ManyWafers = place_on_wafers(checkpoint, machine, wafers, client=client, **placed)
        speculating = None
    else:
        model = place(checkpoint, machine, log=log, feed_width=feed_width, **placed)
        _watch(model, log, on_links)
        speculating = _speculator(drafting, checkpoint, model, ids, count, prompt, profile, threads)
    generation = generate(checkpoint, model, ids, count, sampler, on_token, on_chunk, on_text, decoder=speculating,
                          keeper=keeping)
    whole = replace(model.mapping, config=checkpoint.config)
    checked = check_generation(checkpoint, generation, sampler, check, Activations.of(model.mapping.form, precision),
                               KeptWeights(checkpoint.weights, whole) if weight_precision else None)
    return Execution(machine, model.mapping, prompt, checkpoint.text.continuation(ids, generation.tokens), generation, checked,
                     model.both_engines, speculating.finish() if speculating else None, log,
                     share_rounded(checkpoint.weights, whole) if weight_precision else None, wafers)


def _check_alone(*without: object) -> None:
    """Refuse what runs on one wafer alone."""
    if any(without):
        raise InputError("several wafers go without --speculate, --save, --resume, --timeline, --animation and a plan with "
                         "columns for feed-forward parts: leave these out, or run on one wafer")


def _watch(model: WaferModel, log: RunLog | None, on_links: OnLinks | None) -> None:
    """Let the log know whose clocks it keeps, and the engine who sees its links."""
    if log is not None:
        log.pes = corners(model.mapping.width, model.mapping.height)
    if isinstance(model.engine, BothEngines):
        model.engine.on_links = on_links


def _identity(checkpoint: Checkpoint, machine: Machine, sampler: Sampler, drafting: Drafting | None,
              **options: object) -> dict[str, str]:
    """All that the end of a run depends on, by name."""
    drafts = {}
    if drafting is not None:
        draft = drafting.draft if isinstance(drafting.draft, str) else drafting.draft.digest()
        drafts = {"speculate": drafting.drafted, "draft": draft, "regions": drafting.regions}
    described = hashlib.sha256(msgspec.json.encode(machine)).hexdigest()
    found = {"the model's files": checkpoint.digest(), "machine": machine.name, "the machine's description": described,
             **options, **asdict(sampler), **drafts}
    return {name.replace("_", " "): str(value) for name, value in found.items() if value is not None}


def _speculator(drafting: Drafting | None, checkpoint: Checkpoint, model: WaferModel, ids: list[int], count: int, prompt: str,
                profile: str, threads: int) -> Speculator | None:
    """What decodes in the place of ``model``, if anybody drafts."""
    if drafting is None:
        return None
    drafter = _drafter(drafting.draft, checkpoint, model, model.engine.machine, prompt, profile, threads)
    found = speculator(model, model.engine.machine, profile, drafter, drafting.drafted, drafting.regions)
    found.start(ids, count)
    return found


def _drafter(draft: str | Checkpoint, checkpoint: Checkpoint, model: WaferModel, machine: Machine, prompt: str, profile: str,
             threads: int) -> Drafter:
    """What drafts for ``model``; a smaller model in the same precision, on a small grid that fits."""
    if isinstance(draft, str):
        layers = layers_of(draft)
        return FirstLayers(checkpoint.config, layers) if layers else NGrams()
    check_vocabulary(draft.config, checkpoint.config)
    if draft.encode(prompt) != checkpoint.encode(prompt):
        raise InputError(f"the draft {draft.config.name} cuts the prompt into other tokens than {checkpoint.config.name}: a "
                         "draft needs the tokenizer of the model that checks it")
    mapping = model.mapping
    context = min(mapping.context, draft.config.max_context)
    return SmallModel(place(draft, machine, context, mapping.chunk, mapping.precision, profile=profile, threads=threads,
                            activations=mapping.activations))


def place(checkpoint: Checkpoint, machine: Machine, context: int, chunk: int = PREFILL_CHUNKS[0], precision: str = "fp16",
          grid: tuple[int, int] | None = None, engine: str = "flow", profile: str = "silicon", threads: int = 1,
          activations: Form | None = None, weights: Weights | None = None, memory: int | None = None,
          programs: Programs | None = None, weight_precision: str = "", cache_precision: str = "",
          log: RunLog | None = None, feed_width: int = 0) -> WaferModel:
    """The model on a grid (default: a small one that fits) whose cache holds ``context`` tokens.

    ``chunk``: tokens of a prompt that pass together, fewer (:data:`PREFILL_CHUNKS`) where the grid has no room for their
    buffers. ``weights``: other ones; ``memory`` and ``log`` as in :class:`WaferModel`.
    """
    made = _engine(engine)
    (mapping,) = _mappings([checkpoint.config], machine, context, chunk, precision, grid, activations, programs,
                           weight_precision, cache_precision, feed_width)
    return WaferModel(checkpoint.config, weights or checkpoint.weights, machine, mapping, profile, threads, made, memory, log)


def place_on_wafers(checkpoint: Checkpoint, machine: Machine, wafers: int, context: int, chunk: int = PREFILL_CHUNKS[0],
                    precision: str = "fp16", grid: tuple[int, int] | None = None, engine: str = "flow",
                    profile: str = "silicon", threads: int = 1, activations: Form | None = None, memory: int | None = None,
                    programs: Programs | None = None, weight_precision: str = "", cache_precision: str = "",
                    client: Any = None) -> ManyWafers:
    """As :func:`place`, with the layers dealt to grids on several ``wafers``, each stepped here, or by a worker of a Dask
    ``client``."""
    mappings = _mappings(cut(checkpoint.config, wafers), machine, context, chunk, precision, grid, activations, programs,
                         weight_precision, cache_precision)
    more: dict[str, Any] = {} if client is None else {"make": on_workers(client)}
    return ManyWafers(checkpoint.config, checkpoint.weights, machine, mappings, profile, threads, _engine(engine), memory,
                      **more)


def _engine(name: str) -> type[FlowEngine]:
    """The engine that goes by this name."""
    if name not in ENGINES:
        raise InputError(f"no engine {name!r}: use one of {', '.join(ENGINES)}")
    return ENGINES[name]


def _mappings(configs: Sequence[ModelConfig], machine: Machine, context: int, chunk: int, precision: str,
              grid: tuple[int, int] | None, activations: Form | None, programs: Programs | None, weight_precision: str,
              cache_precision: str, feed_width: int = 0) -> list[Mapping]:
    """Where the layers of each of ``configs`` lie, with the longest chunks that all of them have room for."""
    chunks = [chunk, *(fewer for fewer in PREFILL_CHUNKS if fewer < chunk)]
    width, height = grid or max(default_grid(config, machine, precision, context, chunks[-1], weight_precision, cache_precision)
                                for config in configs)

    def of(some: int) -> list[Mapping]:
        return [Mapping(config, width, height, precision, context, some, activations=activations,
                        programs=program_set("default").programs if programs is None else programs,
                        weight_precision=weight_precision, cache_precision=cache_precision, feed_width=feed_width)
                for config in configs]

    check_formats(of(chunk)[0])
    found = next((each for each in map(of, chunks) if all(one.fits(machine) for one in each)), of(chunks[-1]))
    for mapping in found:
        mapping.check(machine)  # before the weights are read
    return found


def execute_sample(machine: Machine, count: int = SAMPLE_TOKENS, precision: str = "fp16",
                   **options) -> tuple[Checkpoint, Execution]:
    """Execute the model that ships inside the package on its default prompt; sampled, so that it does not repeat itself."""
    checkpoint, sampler = load_checkpoint(sample_path()), Sampler(temperature=0.5, top_p=0.9, seed=4)
    return checkpoint, execute(checkpoint, machine, SAMPLE_PROMPT, count, precision=precision, sampler=sampler, **options)

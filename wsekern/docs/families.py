"""Table of the families of models: what is known of each, asked of the code that would do it."""

from collections.abc import Callable

from wsekern.cluster.deploy import resolve
from wsekern.cluster.step import decode_step
from wsekern.docs.markdown import table
from wsekern.errors import WsekernError
from wsekern.inference.executable import check_executable
from wsekern.inference.layer import layer_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import refuse_timed_only
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, LatentAttention
from wsekern.workload.parsing.layouts import architectures
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.weights.compared import is_compared


def families() -> str:
    """A line for every architecture: its weights without any key of ``config.json``, its parts, what can be done with it."""
    header = ("architecture", "weights of the class, billions", "layers have", "timed on GPUs", "timed on wafers", "executed")
    return table(header, [_row(name) for name in sorted(architectures(), key=str.lower)])


def _row(name: str) -> tuple[str, ...]:
    try:
        config = parse_config({"architectures": [name], "num_experts_per_tok": 2}, name, name)
    except WsekernError:  # a class without sizes of its own
        return (f"`{name}`", "of its keys", "", "", "", "")
    sides = (lambda: decode_step(resolve(config, "h100x8", "bf16", "stock"), 1, 1024), lambda: Mapping(config, 700, 700),
             lambda: _execute(config))
    *timed, executed = map(_possible, sides)
    known = "not compared" if executed == "yes" and not is_compared(name) else executed
    return (f"`{name}`", f"{config.parameters / 1e9:.1f}", _parts(config), *timed, known)


def _execute(config: ModelConfig) -> None:
    """Refuse what the wafer does not execute."""
    check_executable(config)
    mapping = Mapping(config, 700, 700)
    for block, _ in config.kinds:
        refuse_timed_only(layer_steps(mapping, block, 1, 1), config.name)


def _possible(asked: Callable[[], object]) -> str:
    """Whether the code takes the model."""
    try:
        asked()
    except WsekernError:
        return "no"
    return "yes"


def _parts(config: ModelConfig) -> str:
    """Kinds of the layers' parts, in words."""
    return ", ".join(dict.fromkeys(word for block, _ in config.kinds for word in _words(block)))


def _words(block: Block) -> list[str]:
    found = [_mixer(mixer) for mixer in block.mixers]
    return found + (["experts"] if block.mixture else [])


def _mixer(mixer: object) -> str:
    if isinstance(mixer, LatentAttention):
        return "latent attention with an indexer" if mixer.indexer else "latent attention"
    if isinstance(mixer, Attention):
        local = "sliding " if mixer.window else "chunked " if mixer.chunk else ""
        return f"compressed {local}attention" if mixer.compression > 1 else f"{local}attention"
    return str(getattr(mixer, "kind", "")).replace("_", " ")

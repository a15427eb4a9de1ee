"""What serving software adds to the kernels of a step: one function for each cost, all in seconds."""

from math import log2

from wsekern.cluster.constants import constants
from wsekern.cluster.efficiency import efficiency_of
from wsekern.cluster.experts import in_service
from wsekern.cluster.hardware import Gpu
from wsekern.cluster.layout import Deployment
from wsekern.cluster.parts import parts_of
from wsekern.cluster.work import StepTime, Work
from wsekern.formulas import largest


def charge_engine(deployment: Deployment, step: StepTime, work: Work) -> None:
    """Set ``step.engine``, and add to ``step.compute`` the part of the software that runs on the GPU.

    The host hides behind the kernels alone; launches hide behind all that the GPU does.
    """
    per_step = layers(deployment) + host(deployment, step, work)
    step.compute += padded_groups(deployment) + coarse_tiles(deployment, work)
    step.engine = (
        per_step
        + exchanges(deployment, work)
        + sampling(deployment, work)
        + launches(deployment, step, work)
        + routed_prompts(deployment, work)
        + launched_prompts(deployment, work)
    )


def layers(deployment: Deployment) -> float:
    """Work of every layer, and of the layers with experts where the kernels do not route tokens themselves."""
    engine, model = deployment.engine, deployment.model
    routed = 0.0 if deployment.precision.routed_inside else float(engine.per_routed)
    return float(engine.per_layer) * parts_of(model).layers + routed * model.mixtures


def host(deployment: Deployment, step: StepTime, work: Work) -> float:
    """Scheduling of a step and of its sequences; an engine that works ahead shows only what is longer than the kernels."""
    engine = deployment.engine
    seconds = float(engine.per_step) + float(engine.per_sequence) * work.sequences * deployment.layout.dp
    return largest(0.0, seconds - step.device) if engine.overlapped else seconds


def _quantises_exchanges(deployment: Deployment) -> bool:
    return deployment.layout.dp > 1 and deployment.precision.part(experts=True)[2] < 2.0


def padded_groups(deployment: Deployment) -> float:
    """Quantised exchanges fill up the rows of each expert on a GPU, which its tensor cores then multiply: no host time. Models
    that choose one expert a token (Llama 4) scale channels, not blocks, and need no such groups."""
    model, layout = deployment.model, deployment.layout
    if not _quantises_exchanges(deployment):
        return 0.0
    peak, split = deployment.gpu.peak_flops(deployment.precision.part(experts=True)[1]), layout.tp * layout.dp / layout.ep
    seconds = 0.0
    for feed, count in parts_of(model).mixtures:
        if feed.chosen > 1:
            rows = float(deployment.engine.padded_rows) * feed.experts / layout.ep
            weights = feed.expert.parameters(feed.latent or model.hidden) / split
            seconds += 2.0 * rows * weights / peak * count
    return seconds


def coarse_tiles(deployment: Deployment, work: Work) -> float:
    """What large tiles of the grouped GEMM add, along the depth of its two products: without tiles tuned for a part of the
    experts, 16-bit kernels take them as soon as the tokens outnumber the experts of a GPU."""
    model, layout = deployment.model, deployment.layout
    if layout.ep < 2 or deployment.precision.part(experts=True)[:2] != (2.0, "bf16"):
        return 0.0
    depth = 0.0
    for feed, count in parts_of(model).mixtures:
        if work.tokens * layout.dp > feed.experts / layout.ep:
            inner = feed.expert.width / (layout.tp * layout.dp / layout.ep)
            depth += ((feed.latent or model.hidden) + inner) * count
    return float(deployment.engine.coarse_tiles) * depth / 8192.0


def exchanges(deployment: Deployment, work: Work) -> float:
    """Waiting for partners in the exchanges of tokens in 16 bit: the other ranks, by the experts that the tokens reach."""
    copies, waiting = deployment.layout.dp, float(deployment.engine.per_exchange)
    if copies < 2 or _quantises_exchanges(deployment) or not waiting:
        return 0.0
    seconds = 0.0
    for feed, count in parts_of(deployment.model).mixtures:
        _, reached = in_service(work.tokens * copies, feed.chosen, feed.experts, 1)
        seconds += waiting * count * ((1.0 - 1.0 / copies) * reached / feed.experts)
    return seconds


def sampling(deployment: Deployment, work: Work) -> float:
    """Sorting the logits for top-p or top-k."""
    model = deployment.model
    if not (work.sampled and model.sorted_sampling):
        return 0.0
    return float(deployment.engine.per_logit) * _sort_load(deployment.gpu, model.vocab, work.sequences)


def _sort_load(gpu: Gpu, vocab: int, rows: float) -> float:
    """Logits to sort, as if on the measured GPU: a part of the work is streaming, and more rows fill the GPU better."""
    known = constants()
    part = known.sort_streaming.value
    streaming = (1.0 - part) + part * known.sort_bandwidth.value / float(gpu.memory.bandwidth)
    return streaming * vocab * rows / (1.0 + rows / known.sort_rows.value)


def launches(deployment: Deployment, step: StepTime, work: Work) -> float:
    """Kernels that the host launches one by one, where that takes longer than they run: all prompts, and all steps of an engine
    without CUDA graphs."""
    if deployment.engine.graphs and not work.prefill:
        return 0.0
    return largest(0.0, step.kernels * _host_scale(deployment) * float(deployment.engine.launch) - step.device)


def routed_prompts(deployment: Deployment, work: Work) -> float:
    """Routing the tokens of a prompt, where the kernels do not: those of 4-bit formats do on GPUs that compute in them."""
    inside = deployment.precision.routed_inside and deployment.gpu.peak.fp4 is not None
    if not work.prefill or inside:
        return 0.0
    return _host_scale(deployment) * float(deployment.engine.per_routed_prompt) * deployment.model.mixtures


def launched_prompts(deployment: Deployment, work: Work) -> float:
    """Work of the host in a step that reads prompts, which no CUDA graph holds, whatever their tokens: tensor-parallel ranks
    wait for the slowest in every layer, and a recurrent mixer is many kernels."""
    if not work.prefill:
        return 0.0
    ranks = float(deployment.engine.per_rank_prompt) * parts_of(deployment.model).layers * log2(deployment.layout.tp)
    return _host_scale(deployment) * ranks + uncaptured_prompts(deployment)


def _host_scale(deployment: Deployment) -> float:
    """Time of the host's work for prompts and launches over that on GPUs whose kernels were timed."""
    used = efficiency_of(deployment.gpu, deployment.engine, deployment.precision)
    return 1.0 if used is None else float(used.host)


def uncaptured_prompts(deployment: Deployment) -> float:
    """The part of :func:`launched_prompts` that stays where prompts run as pieces of CUDA graphs, between which attention
    stands."""
    return float(deployment.engine.per_linear_prompt) * deployment.model.recurrents

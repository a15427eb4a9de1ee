"""MLPerf Inference v5.1, data-centre division: token rates at the load that the rules of a scenario allow.

Answers have the mean lengths of mlcommons/inference (submission checker: TOKENS_PER_SAMPLE, and GEN_LEN / 13,368 characters,
by which nearly all answers of llama3.1-8b end at 128 tokens); prompts those of MLCommons' articles on the data sets, which
are recalled. Limits are those of the rules. The layout is not in the rows: copies of the fewest GPUs that hold :data:`ROOM`
sequences.
"""

from typing import NamedTuple

from wsekern.cluster.constants import constants
from wsekern.cluster.engine import load_engine
from wsekern.cluster.hardware import Cluster, load_gpu
from wsekern.cluster.layout import Deployment, Layout, memory_of
from wsekern.cluster.steady import steady_state
from wsekern.validation.gpu_rows import Refused, gpu_name, model_of, precision_from, whole_number


class Task(NamedTuple):
    """A data set, and seconds per output token at most, by scenario."""

    prompt: int
    output: int
    limits: dict[str, float]


TASKS = {
    "llama2-70b": Task(294, 294, {"Server": 0.2, "Interactive": 0.04}),  # OpenOrca
    "mixtral-8x7b": Task(293, 145, {"Server": 0.2}),  # OpenOrca, GSM8K, MBXP
    "llama3.1-405b": Task(9428, 685, {"Server": 0.175, "Interactive": 0.08}),
    "llama3.1-8b": Task(778, 128, {"Server": 0.1, "Interactive": 0.03}),  # CNN-DailyMail
    "deepseek-r1": Task(800, 3886, {"Server": 0.08}),
}
"""By the model's name in this package."""

ROOM = 64
"""Sequences that a copy must hold."""

ENGINE = "tuned-overlapped"
"""TensorRT-LLM without a server before it (sources name systems that end in _TRT)."""


def predict_mlperf(row: dict[str, str]) -> tuple[str, float]:
    """(group, output tokens per second of all GPUs)."""
    scenario = (row.get("batch_or_concurrency") or "").removeprefix("MLPerf ")
    model = model_of(row["model"].replace("llama3_1", "llama3.1"))
    task = TASKS.get(model.name)
    if task is None or (scenario != "Offline" and scenario not in task.limits):
        raise Refused(f"MLPerf's {row['model']} {scenario}: its data set, or its limit, is not known here")
    gpu, count = load_gpu(gpu_name(row["gpu"], row.get("notes") or "")), whole_number(row["n_gpus"], "n_gpus")
    precision = precision_from(row.get("precision") or "", row["model"], model, ENGINE)
    for ranks in (1, 2, 4, 8):
        if count % ranks:
            break
        # experts of a latent-attention model lie on all ranks, each of which has an attention of its own
        layout = Layout(tp=1, dp=ranks, ep=ranks) if model.latent else Layout(tp=ranks)
        copy = Deployment(model, Cluster(gpu, ranks), layout, precision, load_engine(ENGINE))
        fits = memory_of(copy, task.prompt + task.output, 1).sequences
        if fits >= ROOM:
            kind = "MoE" if model.mixture else "dense"
            rate = _rate(copy, task, float(fits), task.limits.get(scenario))
            return f"MLPerf {scenario} {kind}", count / ranks * rate
    raise Refused("no layout holds enough sequences")


def _rate(copy: Deployment, task: Task, fits: float, limit: float | None) -> float:
    """Tokens per second of a copy with as many users as fit, and as decode within ``limit``."""
    users = min(constants().scheduled_sequences.value * copy.layout.dp, fits)
    while True:
        measure = steady_state(copy, task.prompt, task.output, users).measure
        if limit is None or measure.time_per_output_token_seconds <= limit or users <= 1.0:
            return measure.tokens_per_second
        users = max(1.0, users / 1.25)

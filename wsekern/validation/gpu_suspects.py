"""Measurements that their own source, or the peaks of the stated GPUs, contradict.

The rules look at measurements (and at datasheet peaks), never at predictions and never at which row it is.
"""

from collections import defaultdict

from wsekern.cluster.constants import constants
from wsekern.cluster.engine import load_engine
from wsekern.cluster.layout import cache_bytes
from wsekern.cluster.step import prefill_step
from wsekern.errors import WsekernError
from wsekern.validation.gpu_rows import Case, Refused, understand


def inconsistent(rows: list[dict[str, str]]) -> dict[str, str]:
    """Row id -> why it is not comparable.

    Rows that their own source contradicts (twice as fast on another task at no smaller a batch; eight users or fewer three
    times slower than one), and rows that can only be explained by tokens drafted, prompts cached or experts not read.
    """
    found = {**_slower_than_another_task(rows), **_slower_with_few_users(rows)}
    configurations = {_configuration(row): found[row["id"]] for row in rows if row["id"] in found}
    found = {row["id"]: configurations[_configuration(row)] for row in rows if _configuration(row) in configurations}
    cases = _cases(rows)
    rules = (_drafted, _cached_prompts, _unread_experts, _beyond_peaks)
    return {name: text for rule in rules for name, text in rule(rows, cases).items()} | found


def _cases(rows: list[dict[str, str]]) -> dict[str, Case]:
    """What the rows that the rules below look at state, by id."""
    cases = {}
    for row in rows:
        if row["metric"] in (*STEP_METRICS, *FIRST_METRICS, "e2e_latency"):
            try:
                float(row["value"])
                cases[row["id"]] = understand(row)
            except (WsekernError, Refused, TypeError, ValueError):
                continue
    return cases


STEP_METRICS = ("tpot_mean", "tpot_median")
FIRST_METRICS = ("ttft_mean", "ttft_p50", "ttft")


def _drafted(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Runs of models that ship draft layers, when the same engine served the same configuration much slower elsewhere.

    Where at least half of a set's comparable runs are so, all of the set are.
    """
    same, sets = defaultdict(list), defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        if case and row["metric"] in STEP_METRICS and case.model.draft_layers and not case.sampled:
            shape = (case.model.layers, case.model.hidden, case.model.experts)
            system = (case.engine, case.cluster.name, shape, case.precision.name)
            same[(*system, case.prompt, case.output, case.batch)].append(row)
            sets[(*system, (row.get("source") or "").split("_agg")[0], row.get("notes") or "")].append(row["id"])
    ratios = {}
    for members in same.values():
        if len(members) > 1:
            slowest = max(float(row["value"]) for row in members)
            ratios.update({row["id"]: slowest / float(row["value"]) for row in members})
    text = "the same engine served this much slower in another run, and the model ships draft layers: drafted tokens"
    found = {}
    for members in sets.values():
        known = [name for name in members if name in ratios]
        quick = [name for name in known if ratios[name] >= constants().drafted_speedup.value]
        found.update(dict.fromkeys(members if len(quick) > 1 and 2 * len(quick) >= len(known) else quick, text))
    return found


def _cached_prompts(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Sets of one-user prompts in which a longer prompt took less extra time than the peak rate needs for its extra tokens;
    all but the shortest prompts are suspect then."""
    text = "in this set of runs a longer prompt took less time than the peak allows for its extra tokens: prompts were cached"
    compute_bound = constants().compute_bound_tokens.value
    sets = defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        if case and row["metric"] in FIRST_METRICS and case.batch == 1:
            key = tuple(row.get(name) or "" for name in SYSTEM)
            sets[key].append((case.prompt, float(row["value"]) * _SECONDS.get(row["unit"], 1.0), case, row["id"]))
    found = {}
    for members in sets.values():
        members.sort(key=lambda member: member[:2])
        slowest = {prompt: max(t for p, t, *_ in members if p == prompt) for prompt, *_ in members}
        steps = [(a, b) for a in slowest for b in slowest if a < b]
        case = members[0][2]
        rate = case.cluster.count * case.cluster.gpu.peak_flops(case.precision.arithmetic) / 2.0 / case.model.active_parameters
        bound = [(a, b) for a, b in steps if a >= compute_bound or slowest[b] < 0.95 * slowest[a]]
        if any(slowest[b] - slowest[a] < (b - a) / rate for a, b in bound):
            shortest = members[0][0]
            found.update({name: text for prompt, *_, name in members if prompt > shortest})
    return found


def _beyond_peaks(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Sets of synthetic runs of which a third or more (three at least) had tokens faster than reading their prompts and
    their caches allows at the best rates known: those prompts were cached."""
    text = "in this set of runs tokens came faster than prompts and caches can be read: prompts were cached"
    sets: dict[tuple[str, ...], list[tuple[str, bool]]] = defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        if not case or row["metric"] not in STEP_METRICS or case.batch <= 1 or case.sampled:
            continue
        prompt = prefill_step(case.deployment, 1.0, case.prompt)
        arrivals = max(0.0, case.batch / case.layout.dp - 1.0) / case.output
        compute = constants().attainable_compute.value
        reading = float(load_engine(case.engine).interference) * arrivals * prompt.roofline / compute
        cache = cache_bytes(case.model, case.precision, case.prompt + case.output / 2.0, case.layout.tp)
        bandwidth = constants().attainable_bandwidth.value * float(case.cluster.gpu.memory.bandwidth)
        cache *= case.batch / case.layout.dp / case.layout.pp / bandwidth
        least = reading + cache  # kernels of one engine run one after the other
        key = tuple((row.get(name) or "").split("_agg")[0] for name in ("source", "gpu", "model", "precision", "notes"))
        sets[key].append((row["id"], float(row["value"]) * _SECONDS.get(row["unit"], 1.0) < least))
    found = {}
    for members in sets.values():
        if sum(beyond for _, beyond in members) >= max(3, len(members) / 3):
            found.update({name: text for name, _ in members})
    return found


_SECONDS = {"ms": 1e-3, "s": 1.0, "us": 1e-6}


def _unread_experts(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Expert models that finished before evenly chosen experts could be read once a step: their prompts were alike."""
    text = "faster than evenly chosen experts can be read from memory: the prompts of this run were alike"
    found = {}
    for row in rows:
        case = cases.get(row["id"])
        if not case or not case.model.experts or not case.batch:
            continue
        whole = row["metric"] == "e2e_latency"
        if not whole and row["metric"] not in FIRST_METRICS:
            continue
        model, tokens = case.model, case.batch * (1 if whole else case.prompt)
        reached = model.experts * (1.0 - (1.0 - model.experts_per_token / model.experts) ** tokens)
        weights = model.moe_layers * reached * 3.0 * model.hidden * model.expert_ffn * case.precision.weight
        rate = constants().attainable_bandwidth.value * case.cluster.count * float(case.cluster.gpu.memory.bandwidth)
        if float(row["value"]) * _SECONDS.get(row["unit"], 1.0) < weights / rate * (case.output if whole else 1):
            found[row["id"]] = text
    return found


def _configuration(row: dict[str, str]) -> tuple[str, ...]:
    """What a run was: its other metrics (energy, throughput) are from the same run."""
    return tuple(row.get(name) or "" for name in (*SYSTEM, "isl", "osl", "batch_or_concurrency"))


def _members(
    rows: list[dict[str, str]], metrics: tuple[str, ...], tasks: bool, names: tuple[str, ...]
) -> list[list[tuple[float, float, str, str]]]:
    """(batch, value, prompt, id) of rows that agree in ``names``."""
    groups: dict[tuple[str, ...], list[tuple[float, float, str, str]]] = {}
    for row in rows:
        prompt = row.get("isl") or ""
        if row["metric"] not in metrics or prompt.startswith("task:") != tasks:
            continue
        try:
            entry = (float(row["batch_or_concurrency"]), float(row["value"]), prompt, row["id"])
        except ValueError:
            continue
        key = tuple((row.get(name) or "").split(":")[0] for name in names)
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


SYSTEM = ("source", "gpu", "n_gpus", "parallelism", "model", "precision")


def _slower_than_another_task(rows: list[dict[str, str]]) -> dict[str, str]:
    text = "its own source measured this system twice as fast on another task at no smaller a batch"
    return {
        name: text
        for members in _members(rows, ("itl_median",), True, SYSTEM)
        for batch, value, task, name in members
        if any(b >= batch and v * 2.0 < value and t != task for b, v, t, _ in members)
    }


def _slower_with_few_users(rows: list[dict[str, str]]) -> dict[str, str]:
    text = "in this set of runs eight users or fewer had tokens three times slower than one user"
    found = {}
    for members in _members(rows, ("tpot_mean",), False, SYSTEM):
        alone = [value for batch, value, _, _ in members if batch == 1]
        few = [value for batch, value, _, _ in members if 1 < batch <= 8]
        if alone and few and max(few) > 3.0 * max(alone):
            found.update({name: text for *_, name in members})
    return found

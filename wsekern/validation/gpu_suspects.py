"""Measurements that their own source, or the peaks of the stated GPUs, contradict.

The rules look at measurements (and at datasheet peaks), never at predictions and never at which row it is. Verdicts of rules
that look at measurements alone stand in the shipped table (column ``not_comparable``); those that need a peak are found anew.
"""

from collections import defaultdict

from wsekern.cluster.constants import constants
from wsekern.cluster.layout import cache_bytes
from wsekern.cluster.step import prefill_step
from wsekern.errors import WsekernError
from wsekern.validation.gpu_notes import OTHER_THINGS, is_asked_by_perf
from wsekern.validation.gpu_rows import Case, understand
from wsekern.validation.rows import read_value


def inconsistent(rows: list[dict[str, str]]) -> dict[str, str]:
    """Row id -> why it is not comparable: as its column ``not_comparable`` states, or, in a table without it, as the rows
    contradict each other; and rows that come to their values only with prompts cached or experts not read."""
    cases = _cases(rows)
    all_rows, rows = rows, [row for row in rows if _is_positive(row)]
    beyond = {**_cached_prompts(rows, cases), **_unread_experts(rows, cases), **_beyond_peaks(rows, cases)}
    if any("not_comparable" in row for row in rows):
        return beyond | stated_reasons(all_rows)
    return _drafted(rows, cases) | beyond | _contradicted(rows) | _few_served(rows)


def stated_reasons(rows: list[dict[str, str]]) -> dict[str, str]:
    """Row id -> what its column ``not_comparable`` says, but for rows that measure something else and are refused as such."""
    reasons = {row["id"]: row.get("not_comparable") or "" for row in rows}
    return {name: reason for name, reason in reasons.items() if reason and reason not in OTHER_THINGS}


def by_measurements(rows: list[dict[str, str]]) -> dict[str, str]:
    """Row id -> why the other measurements of the same table speak against it; no peak and no prediction has a part in it."""
    return _drafted(rows, _cases(rows)) | _contradicted(rows) | _few_served(rows)


def _contradicted(rows: list[dict[str, str]]) -> dict[str, str]:
    """Rows that their own source contradicts (twice as fast on another task at no smaller a batch; eight users or fewer three
    times slower than one), with the other metrics of the same runs."""
    found = {**_slower_than_another_task(rows), **_slower_with_few_users(rows)}
    configurations = {_configuration(row): found[row["id"]] for row in rows if row["id"] in found}
    return {row["id"]: configurations[_configuration(row)] for row in rows if _configuration(row) in configurations}


def _cases(rows: list[dict[str, str]]) -> dict[str, Case]:
    """What the rows that the rules below look at state, by id."""
    cases = {}
    for row in rows:
        if row["metric"] in (*STEP_METRICS, *FIRST_METRICS, "e2e_latency"):
            try:
                if read_value(row) > 0.0:
                    cases[row["id"]] = understand(row)
            except WsekernError:
                continue
    return cases


def _is_positive(row: dict[str, str]) -> bool:
    try:
        return read_value(row) > 0.0
    except WsekernError:
        return False


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
    sets: dict[tuple[str, ...], list[tuple[int, float, Case, str]]] = defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        if case and row["metric"] in FIRST_METRICS and case.batch == 1:
            key = tuple(row.get(name) or "" for name in SYSTEM)
            sets[key].append((case.prompt, _seconds(row), case, row["id"]))
    found = {}
    for members in sets.values():
        members.sort(key=lambda member: member[:2])
        if _extra_tokens_too_quick(members):
            shortest = members[0][0]
            found.update({name: text for prompt, *_, name in members if prompt > shortest})
    return found


def _extra_tokens_too_quick(members: list[tuple[int, float, Case, str]]) -> bool:
    """Whether tokens by which one prompt is longer than another came faster than the peak of their GPUs allows."""
    slowest = {prompt: max(t for p, t, *_ in members if p == prompt) for prompt, *_ in members}
    case = members[0][2]
    try:
        peak = case.cluster.gpu.peak_flops(case.precision.arithmetic)
    except WsekernError:  # no peak to hold them against
        return False
    rate = case.cluster.count * peak / 2.0 / case.model.active_parameters
    steps = [(a, b) for a in slowest for b in slowest if a < b]
    bound = [(a, b) for a, b in steps if a >= constants().compute_bound_tokens.value or slowest[b] < 0.95 * slowest[a]]
    return any(slowest[b] - slowest[a] < (b - a) / rate for a, b in bound)


def _beyond_peaks(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Sets of synthetic runs of which a third or more (three at least) had tokens faster than reading their prompts and
    their caches allows at the best rates known: those prompts were cached, which holds for their first tokens too."""
    text = "in this set of runs tokens came faster than prompts and caches can be read: prompts were cached"
    sets: dict[tuple[str, ...], list[tuple[str, bool, bool]]] = defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        if not case or row["metric"] not in (*STEP_METRICS, *FIRST_METRICS) or case.batch <= 1 or case.sampled:
            continue
        key = tuple((row.get(name) or "").split("_agg")[0] for name in ("source", "gpu", "model", "precision", "notes"))
        steps = row["metric"] in STEP_METRICS
        sets[key].append((row["id"], steps, steps and _seconds(row) < _least_seconds(case)))
    found = {}
    for members in sets.values():
        if sum(beyond for *_, beyond in members) >= max(3, sum(steps for _, steps, _ in members) / 3):
            found.update({name: text for name, *_ in members})
    return found


def _least_seconds(case: Case) -> float:
    """Least time of a step that reads its share of the prompts, and all caches, at the best rates known; 0 without a peak."""
    try:
        prompt = prefill_step(case.deployment, 1.0, case.prompt)
    except WsekernError:
        return 0.0
    arrivals = max(0.0, case.batch / case.layout.dp - 1.0) / case.output
    reading = float(case.deployment.engine.interference) * arrivals * prompt.roofline / constants().attainable_compute.value
    cache = cache_bytes(case.model, case.precision, case.prompt + case.output / 2.0, case.layout.tp)
    bandwidth = constants().attainable_bandwidth.value * float(case.cluster.gpu.memory.bandwidth)
    cache *= case.batch / case.layout.dp / case.layout.pp / bandwidth
    return reading + cache  # kernels of one engine run one after the other


_SECONDS = {"ms": 1e-3, "s": 1.0, "us": 1e-6}


def _seconds(row: dict[str, str]) -> float:
    return float(row["value"]) * _SECONDS.get(row["unit"], 1.0)


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
        if _seconds(row) < weights / rate * (case.output if whole else 1):
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
            entry = (float(row.get("batch_or_concurrency") or ""), read_value(row), prompt, row["id"])
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


def _few_served(rows: list[dict[str, str]]) -> dict[str, str]:
    """Runs of aiconfigurator's client in which something else than the load decided over the first token: a lighter load (half
    the users or fewer, or longer answers) waited longer, or the wait grew by more than the square of the users."""
    lighter = "in this set of runs users waited longer for the first token at a lighter load: something else decided"
    others = "in this set of runs the wait grew by more than the square of the users: they waited for answers of others"
    found: dict[str, str] = {}
    for members in _first_token_sets(rows).values():
        for users, answer, wait, name in members:
            same = [(more, later) for more, length, later, _ in members if length == answer]
            shorter = [later for more, length, later, _ in members if length < answer and more == users]
            if any(more >= 2.0 * users and MORE * later < wait for more, later in same) or any(
                    MORE * later < wait for later in shorter):
                found[name] = lighter
            elif any(less < users and wait > sooner * (users / less) ** 2 for less, sooner in same):
                found[name] = others
    return found


def _first_token_sets(rows: list[dict[str, str]]) -> dict[tuple[str, ...], list[tuple[float, float, float, str]]]:
    """(users, tokens of an answer, wait, id) of the rows whose arrivals are assumed, by system and prompt."""
    sets: dict[tuple[str, ...], list[tuple[float, float, float, str]]] = defaultdict(list)
    for row in rows:
        if row["metric"] not in FIRST_METRICS or not is_asked_by_perf(row):
            continue
        try:
            entry = (float(row.get("batch_or_concurrency") or ""), float(row.get("osl") or ""), read_value(row), row["id"])
        except ValueError:
            continue
        key = tuple((row.get(name) or "").split(":")[0] for name in (*SYSTEM, "isl", "notes"))
        sets[key].append(entry)
    return sets


MORE = 1.3
"""By which a wait must be longer to count so: repeated runs differ by less."""

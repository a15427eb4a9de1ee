"""Measurements that their own source, or the peaks of the stated GPUs, contradict.

The rules look at measurements (and at datasheet peaks), never at predictions and never at which row it is. Verdicts of rules
that look at measurements alone stand in the shipped table (column ``not_comparable``); those that need a peak are found anew.
"""

from collections import defaultdict

from wsekern.cluster.constants import constants
from wsekern.errors import WsekernError
from wsekern.validation.gpu_bounds import against_run
from wsekern.validation.gpu_notes import OTHER_THINGS, is_asked_by_perf, is_recipe
from wsekern.validation.gpu_rows import Case, understand
from wsekern.validation.gpu_settings import is_decode_only
from wsekern.validation.rows import read_value


def inconsistent(rows: list[dict[str, str]]) -> dict[str, str]:
    """Row id -> why it is not comparable: as its column ``not_comparable`` states, or, in a table without it, as the rows
    contradict each other; and rows whose first token and time per token together are faster than the peaks allow."""
    cases = _cases(rows)
    beyond = _beyond_peaks(rows, cases)
    if any("not_comparable" in row for row in rows):
        return beyond | stated_reasons(rows)
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
    """What the rows that the rules below look at state, by id; none of an id that another row without a number has too."""
    cases, unread = {}, _unread(rows)
    for row in rows:
        if row["metric"] in (*STEP_METRICS, "ttft_mean"):
            try:
                if read_value(row) > 0.0:
                    cases[row["id"]] = understand(row)
            except Exception:  # refused, or a fault of the program: the row says which when its turn comes
                continue
    return {name: case for name, case in cases.items() if name not in unread}


STEP_METRICS = ("tpot_mean", "tpot_median")
FIRST_METRICS = ("ttft_mean", "ttft_p50", "ttft")


def _drafted(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Runs of models that ship draft layers, when the same engine served the same configuration much slower elsewhere: only
    where the experts lie may differ.

    Where at least half of a set's comparable runs are so, all of the set are.
    """
    same, sets = defaultdict(list), defaultdict(list)
    for row in rows:
        case = cases.get(row["id"])
        stated = case and row["metric"] in STEP_METRICS and (row.get("value") or "")
        if case and stated and case.model.draft_layers and not case.sampled:
            experts = case.model.mixture.experts if case.model.mixture else 0
            shape = (case.model.layers, case.model.hidden, experts)
            degrees = (case.layout.tp, case.layout.pp, case.layout.dp)  # where the experts lie matters little
            system = (case.engine, case.cluster.name, degrees, shape, case.precision.name)
            same[(*system, case.prompt, case.output, case.batch)].append(row)
            sets[(*system, (row.get("source") or "").split("_agg")[0], row.get("notes") or "")].append(row["id"])
    ratios = {}
    for members in same.values():
        if len(members) > 1:
            slowest = max(float(row["value"]) for row in members)
            ratios.update({row["id"]: slowest / float(row["value"]) for row in members})
    text = ("the same engine served this, but for where the experts lie, much slower in another run, and the model ships draft "
            "layers, which suggests drafted tokens")
    found = {}
    for members in sets.values():
        known = [name for name in members if name in ratios]
        quick = [name for name in known if ratios[name] >= constants().drafted_speedup.value]
        found.update(dict.fromkeys(members if len(quick) > 1 and 2 * len(quick) >= len(known) else quick, text))
    return found


def _beyond_peaks(rows: list[dict[str, str]], cases: dict[str, Case]) -> dict[str, str]:
    """Runs of several users whose first token and time per token, taken together, break a bound of the peaks: both rows."""
    runs: dict[tuple[str, ...], dict[str, dict[str, str]]] = defaultdict(dict)
    for row in rows:
        if row["id"] in cases and row["metric"] in ("ttft_mean", "tpot_mean"):
            runs[_run(row)][row["metric"]] = row
    found = {}
    for run in runs.values():
        if len(run) < 2:
            continue
        first, token = run["ttft_mean"], run["tpot_mean"]
        case = cases[token["id"]]
        if case.batch <= 1 or is_decode_only(token):
            continue
        try:
            reason = against_run(case, _seconds(first), _seconds(token), is_recipe(token))
        except Exception:  # a fault of the program at one run, which its rows say when their turn comes
            continue
        found.update(dict.fromkeys((first["id"], token["id"]), reason) if reason else {})
    return found


def _run(row: dict[str, str]) -> tuple[str, ...]:
    """What two metrics of one run have in common."""
    return (*_configuration(row), row.get("notes") or "", row.get("engine") or "")


_SECONDS = {"ms": 1e-3, "s": 1.0, "us": 1e-6}


def _seconds(row: dict[str, str]) -> float:
    return float(row["value"]) * _SECONDS.get(row["unit"], 1.0)


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


def _unread(rows: list[dict[str, str]]) -> set[str]:
    """Ids of rows whose value is no number."""
    unread = set()
    for row in rows:
        try:
            read_value(row)
        except WsekernError:
            unread.add(row["id"])
    return unread
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

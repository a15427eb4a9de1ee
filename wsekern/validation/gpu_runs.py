"""Benchmarks run request by request, where the mean of users who take turns at any time is not what they measure."""

from dataclasses import replace

from wsekern.cluster.benchmark import MOST_USERS
from wsekern.cluster.constants import constants
from wsekern.cluster.load import engines_of, turn_costs
from wsekern.queueing import simulate_batching
from wsekern.queueing.traffic import turns
from wsekern.validation.gpu_rows import Case, Refused

RECIPE_SPREAD = 0.1
"""Lengths of the recipes of InferenceX vary evenly from 0.8 to 1 of the nominal ones (--random-range-ratio 0.8); those of other
tables are equal, so that their users go in step for ever."""


def mean_token_seconds(case: Case, recipe: bool) -> float:
    """Mean time per output token where all users start at once and then take turns, as a ``recipe`` of InferenceX or with
    answers of equal length."""
    engines = engines_of(case.deployment)
    users = max(1, round(case.batch / engines))
    if users > MOST_USERS or case.output < 2:
        raise Refused(f"{users} users with answers of {case.output} tokens: expected at most {MOST_USERS}, and 2 tokens")
    costs = turn_costs(case.deployment, case.prompt, case.output, users, sampled=case.sampled)
    longest = int(2 * case.prompt + 2 * case.output)  # of a row that is predicted, though a little too long for the cache
    costs = replace(costs, cache_tokens=max(costs.cache_tokens, longest))
    rounds = int(constants().benchmark_rounds) if recipe else 2
    traffic = turns(users, case.prompt, case.output, users * rounds, spread=RECIPE_SPREAD if recipe else 0.0)
    return float(simulate_batching(costs, traffic).time_per_output_token.mean())

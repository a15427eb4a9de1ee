"""What the datasheet peaks of a row's GPUs forbid: the least time of what it states, and the bound that it breaks, in numbers.

Every bound is below what can be built: peaks of the datasheet, products in the fastest arithmetic of the precision, weights
read once a step, caches of one byte an element, as few experts as one token takes. Users who wait for their first token do not
decode, so that a time per token alone is held against one user's step; :func:`against_run` also knows the first token.
"""

from dataclasses import replace

from wsekern.cluster.constants import constants
from wsekern.cluster.layout import Deployment, cache_bytes, memory_of
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.errors import WsekernError
from wsekern.validation.gpu_rows import Case


def least_token(case: Case, users: float = 1.0) -> float:
    """Seconds of a decode step at the peak bandwidth: the weights once, and the caches of ``users`` of the whole deployment."""
    each = cache_bytes(case.model, _lean(case).precision, case.prompt + 0.5 * case.output, case.layout.tp)
    caches = users / case.layout.dp / case.layout.pp * each / float(case.cluster.gpu.memory.bandwidth)
    return _weights(case) + caches


def least_prompt(case: Case, length: float | None = None) -> float:
    """Seconds of the products of one prompt on each copy of the attention at the peak; ``length`` tokens or those stated."""
    lean = _lean(case)
    try:
        work = prefill_step(lean, 1.0, case.prompt if length is None else length).flops
        peak = max(case.cluster.gpu.peak_flops(case.precision.part(experts)[1]) for experts in (False, True))
    except WsekernError:  # no peak to hold the row against
        return 0.0
    return work / peak


def least_first(case: Case, prompts: float) -> float:
    """Seconds until ``prompts`` that start together are read: their products, or all weights once."""
    copies = max(1.0, prompts / case.layout.dp)
    return max(copies / case.layout.pp * least_prompt(case), least_prompt(case), _weights(case))


def least_answers(case: Case) -> float:
    """Seconds of whole requests that start together: all prompts, or one prompt and then a step for each further token."""
    steps = max(0.0, case.output - 1.0) * _weights(case)
    return max(least_first(case, case.batch), least_first(case, 1.0) + steps)


def _lean(case: Case) -> Deployment:
    """The deployment of ``case`` with the narrowest cache that engines keep."""
    deployment = case.deployment
    return replace(deployment, precision=replace(deployment.precision, cache=min(1.0, deployment.precision.cache)))


def _weights(case: Case) -> float:
    """Seconds of a step that reads the weights, and next to no cache, at the peak bandwidth; 0 where nothing is known of it."""
    try:
        return decode_step(_lean(case), 1.0, 1.0).roofline
    except WsekernError:
        return 0.0


def _text(number: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{number:,.0f}" if number >= 100.0 else f"{number:.3g}"


def against_token(case: Case, seconds: float) -> str:
    """Why ``seconds`` a token cannot be, or nothing."""
    least = least_token(case)
    if seconds >= least:
        return ""
    return (f"{_text(seconds * 1e3)} ms a token, but reading the weights and one user's cache for it needs "
            f"{_text(least * 1e3)} ms at the peak bandwidth of the stated GPUs")


def against_first(case: Case, prompts: float, seconds: float) -> str:
    """Why ``prompts`` that start together cannot be read in ``seconds``, or nothing."""
    least = least_first(case, prompts)
    if seconds >= least:
        return ""
    several = f"{prompts:,.0f} prompts of {case.prompt:,} tokens need"
    what = several if prompts > 1 else f"a prompt of {case.prompt:,} tokens needs"
    return f"{_text(seconds * 1e3)} ms to the first token, but {what} {_text(least * 1e3)} ms at the peak of the stated GPUs"


def against_answers(case: Case, seconds: float) -> str:
    """Why whole requests cannot end in ``seconds``, or nothing."""
    least = least_answers(case)
    if seconds >= least:
        return ""
    return f"{_text(seconds)} s a request, but its prompt and the weights for each token need {_text(least)} s at the peak"


def against_prompt_rate(case: Case, rate: float) -> str:
    """Why prompts cannot be read at ``rate`` tokens/s, or nothing."""
    least = least_prompt(case)
    if not least or rate * least <= case.prompt:
        return ""
    return f"{rate:,.0f} tokens/s of prompts, but the peak of the stated GPUs allows {case.prompt / least:,.0f}"


def against_run(case: Case, first: float, token: float, recipe: bool) -> str:
    """Why a run of ``case.batch`` users at once cannot have had both these mean times (seconds), or nothing.

    By Little's law the users that decode are to all users as the time of an answer is to that of the request, and each request
    takes at least the prompts of all users who are there. Users leave at the end of a run, and lengths vary: of a ``recipe``
    (InferenceX) both are known, of other runs at least half of the users count, which holds if all start at once and once only.
    """
    known = constants()
    present, length = 0.5, float(case.prompt)
    if recipe:
        present = 1.0 - 1.0 / known.benchmark_rounds.value
    answer = max(0.0, case.output - 1.0) * token
    users = present * case.batch
    prompts = users / case.layout.dp / case.layout.pp * least_prompt(case, length)
    if first + answer < prompts:
        return (f"a request took {_text(first + answer)} s, but in that time the prompts of {users:,.0f} users, "
                f"{length:,.0f} tokens each, alone need {_text(prompts)} s at the peak of the stated GPUs")
    decoding = users * answer / (first + answer) if answer else 0.0
    least = least_token(replace(case, prompt=max(1, int(length))), decoding)
    if token < least:
        return (f"{_text(token * 1e3)} ms a token, but weights and caches of the {decoding:,.0f} users that decode at a time "
                f"need {_text(least * 1e3)} ms at the peak bandwidth of the stated GPUs")
    return ""


def against_memory(case: Case, context: float) -> str:
    """Why weights and the cache of one user with ``context`` tokens cannot lie in the device memory, or nothing."""
    capacity = float(case.cluster.gpu.memory.capacity)
    weights = memory_of(case.deployment, context, 1).weights
    cache = cache_bytes(case.model, _lean(case).precision, context, case.layout.tp) / case.layout.pp
    if weights + cache <= capacity:
        return ""
    return (f"weights of {weights / 1e9:,.0f} GB and a cache of {cache / 1e9:.2g} GB a GPU do not fit its "
            f"{capacity / 1e9:,.0f} GB: the precision or the number of GPUs is not what is stated")


def against_states(case: Case) -> str:
    """Why users whose number exceeds the caches that fit are no running batch where a model keeps states, or nothing: SGLang
    holds a pool of states, of which a request that runs takes three to five for the sake of prefixes (``KVCacheConfigurator``,
    ``MAMBA_CACHE_SIZE_MAX_RUNNING_REQUESTS_RATIO``)."""
    if not case.model.recurrents or not case.engine.startswith("sglang"):
        return ""
    fits = memory_of(case.deployment, case.prompt + case.output, 1).sequences
    if case.batch <= fits:
        return ""
    return (f"{case.batch:,.0f} users where {fits:,} fit: how many requests SGLang runs at a time hangs on the states that it "
            "keeps for prefixes, and max_running_requests is not stated")

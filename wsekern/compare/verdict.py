"""Who is better, how many times, and what a token's time goes to: numbers, and the same in sentences."""

from collections.abc import Mapping, Sequence

from wsekern.compare.side import Side


def ratios(wafer: Side, cluster: Side) -> dict[str, float]:
    """How many times better the wafer is than the cluster (below 1: worse), all of it on whole requests under this load but for
    the two figures of a lone user. Without ``tokens_per_usd`` where one of them costs nothing."""
    per_usd = times_the_cost(cluster.usd_per_million_tokens, wafer.usd_per_million_tokens)
    return {
        "time_to_first_token": cluster.time_to_first_token_seconds / wafer.time_to_first_token_seconds,
        "lone_time_to_first_token": cluster.lone_time_to_first_token_seconds / wafer.lone_time_to_first_token_seconds,
        "lone_time_per_output_token": cluster.lone_time_per_output_token_seconds / wafer.lone_time_per_output_token_seconds,
        "request_seconds": cluster.request_seconds / wafer.request_seconds,
        "tokens_per_second_per_user": wafer.tokens_per_second_per_user / cluster.tokens_per_second_per_user,
        "tokens_per_second": wafer.tokens_per_second / cluster.tokens_per_second,
        "tokens_per_joule": cluster.joules_per_token / wafer.joules_per_token,
        **({} if per_usd is None else {"tokens_per_usd": per_usd}),
    }


def times_the_cost(of: float, other: float) -> float | None:
    """How many times another cost one is; None where either costs nothing, and no number says how many times."""
    return of / other if of > 0 and other > 0 else None


_SPEEDS = {
    "request_seconds": "answers a whole request",
    "tokens_per_second_per_user": "writes the tokens of one answer",
    "tokens_per_second": "serves the requests of all users together",
}
_AMOUNTS = {"tokens_per_joule": "per joule", "tokens_per_usd": "per dollar"}


def reasons(wafer: Side | None, clusters: Sequence[Side | None]) -> list[str]:
    """The comparison in sentences; of two measured sides, or one alone, also what their time goes to."""
    sides = [side for side in (wafer, *clusters) if side is not None]
    if len(sides) > 1 and (len(clusters) > 1 or any(side.bounds for side in sides)):
        return rankings(sides)
    sentences = _verdicts(wafer, sides[1]) if wafer is not None and len(sides) == 2 else []
    for side in sides:
        cause = max(side.shares, key=side.shares.__getitem__)
        sentences.append(f"the largest part of a token on {side.name} is {cause}: {100 * side.shares[cause]:.0f} %")
    return sentences


def rankings(sides: Sequence[Side]) -> list[str]:
    """Which of several sides comes first in each figure, and how far the others are behind it, a sentence each."""
    answers = sides[0].measure.output > 1  # an answer of one token does not grow
    costs = {
        "whole requests, soonest": "request_seconds",
        **({"tokens of one answer, fastest": "time_per_output_token_seconds"} if answers else {}),
        "requests per joule, least energy": "joules_per_request",
        "requests per dollar, lowest price": "usd_per_request",
    }
    rates = {"requests of all users together, most": "requests_per_second"}
    return [ranking(words, {side.name: side.spread(figure) for side in sides}, figure in rates.values())
            for words, figure in {**costs, **rates}.items()]


def ranking(words: str, spreads: Mapping[str, tuple[float, float, float]], most: bool = False) -> str:
    """The sentence that puts names in the order of their values, the least first or the ``most``, with how many times that of
    the first each is; ``spreads`` are values with the least and the largest that they may be."""
    first, *others = sorted(spreads, key=lambda name: spreads[name][0], reverse=most)
    behind = [f"{name} {_times(spreads[name], spreads[first])}" for name in others]
    return f"{words} first: {'; '.join([first, *behind])}"


def _times(one: tuple[float, float, float], first: tuple[float, float, float]) -> str:
    """How many times the first one is, or between how many."""
    if not first[1]:  # it costs nothing
        return "not free" if one[2] else "the same"
    low, high = (f"{ratio:.2g}" if ratio < 1.0 else f"{ratio:.1f}" for ratio in (one[1] / first[2], one[2] / first[1]))
    if low == high:
        return "the same" if low in ("1", "1.0") else f"{low} times"
    return f"{low} to {high} times"


def _verdicts(wafer: Side, cluster: Side) -> list[str]:
    found = ratios(wafer, cluster)
    speeds = {key: words for key, words in _SPEEDS.items()
              if key != "tokens_per_second_per_user" or wafer.measure.output > 1}  # an answer of one token does not grow
    sentences = [f"{wafer.name} {words} {speed(found[key])} {cluster.name}" for key, words in speeds.items()]
    return sentences + [amount(unit, found.get(key), wafer.name, cluster.name) for key, unit in _AMOUNTS.items()]


def speed(factor: float) -> str:
    """How ``factor`` times the speed of another compares with that, with the word before its name; equal to the digit shown is
    as fast."""
    times = f"{max(factor, 1.0 / factor):.1f}"
    return "as fast as" if times == "1.0" else f"{times} times {'faster' if factor > 1.0 else 'slower'} than"


def amount(unit: str, factor: float | None, first: str, second: str) -> str:
    """The sentence on ``first``, which answers ``factor`` times the requests of ``second`` for the same ``unit``, such as per
    joule; None: one of them costs nothing."""
    if factor is None:
        return f"{unit}, {first} and {second} do not compare: one of them costs nothing"
    times = f"{max(factor, 1.0 / factor):.1f}"
    if times == "1.0":
        return f"{unit}, {first} answers as many requests as {second}"
    better, worse = (first, second) if factor > 1.0 else (second, first)
    return f"{unit}, {better} answers {times} times the requests of {worse}"

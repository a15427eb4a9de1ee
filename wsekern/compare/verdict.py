"""Who is better, how many times, and what a token's time goes to: numbers, and the same in sentences."""

from wsekern.compare.side import Side


def ratios(wafer: Side, cluster: Side) -> dict[str, float]:
    """How many times better the wafer is than the cluster (below 1: worse), all of it on whole requests under this load but for
    the two figures of a lone user."""
    return {
        "time_to_first_token": cluster.time_to_first_token_seconds / wafer.time_to_first_token_seconds,
        "lone_time_to_first_token": cluster.lone_time_to_first_token_seconds / wafer.lone_time_to_first_token_seconds,
        "lone_time_per_output_token": cluster.lone_time_per_output_token_seconds / wafer.lone_time_per_output_token_seconds,
        "request_seconds": cluster.request_seconds / wafer.request_seconds,
        "tokens_per_second_per_user": wafer.tokens_per_second_per_user / cluster.tokens_per_second_per_user,
        "tokens_per_second": wafer.tokens_per_second / cluster.tokens_per_second,
        "tokens_per_joule": cluster.joules_per_token / wafer.joules_per_token,
        "tokens_per_usd": cluster.usd_per_million_tokens / wafer.usd_per_million_tokens,
    }


_SPEEDS = {
    "request_seconds": "answers a whole request {} times {} than",
    "tokens_per_second_per_user": "writes the tokens of one answer {} times {} than",
    "tokens_per_second": "serves the requests of all users together {} times {} than",
}
_AMOUNTS = {"tokens_per_joule": "per joule", "tokens_per_usd": "per dollar"}


def reasons(wafer: Side | None, cluster: Side | None) -> list[str]:
    """The comparison in sentences; of a side alone, what its time goes to."""
    sentences = _verdicts(wafer, cluster) if wafer and cluster else []
    for side in (wafer, cluster):
        if side is not None:
            cause = max(side.shares, key=side.shares.__getitem__)
            sentences.append(f"the largest part of a token on {side.name} is {cause}: {100 * side.shares[cause]:.0f} %")
    return sentences


def _verdicts(wafer: Side, cluster: Side) -> list[str]:
    found = ratios(wafer, cluster)
    times = {key: f"{max(factor, 1 / factor):.1f}" for key, factor in found.items()}
    sentences = []
    for key, words in _SPEEDS.items():
        speed = words.format(times[key], "faster" if found[key] >= 1 else "slower")
        sentences.append(f"{wafer.name} {speed} {cluster.name}")
    for key, unit in _AMOUNTS.items():
        better, worse = (wafer, cluster) if found[key] >= 1 else (cluster, wafer)
        sentences.append(f"{unit}, {better.name} answers {times[key]} times the requests of {worse.name}")
    return sentences

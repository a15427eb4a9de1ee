"""What came of a load on both sides, in sentences."""

from collections.abc import Mapping

from wsekern.compare.load import Needed
from wsekern.compare.load_report import LoadReport, Slo, percent


def load_sentences(reports: Mapping[str, LoadReport], needed: Mapping[str, Needed], slo: Slo) -> list[str]:
    """The comparison in words, the verdict last; ``reports`` and ``needed`` by side."""
    sentences = [f"{report.name} cannot keep up: its queue grows, and its last answer is complete "
                 f"{report.drain_seconds:,.0f} s after the last request came"
                 for report in reports.values() if not report.keeps_up]
    if len(reports) == 2:
        sentences += _ratios(*reports.values())
    if needed:
        sentences += [_system_count(needed[name], report, slo) for name, report in reports.items()]
    elif not slo.empty:
        sentences += [_kept(report, slo) for report in reports.values()]
    return sentences


def _ratios(wafer: LoadReport, cluster: LoadReport) -> list[str]:
    """Times, energy and cost side by side."""
    sentences = []
    for name, what in (("time_to_first_token_seconds", "first tokens"), ("time_per_output_token_seconds", "further tokens")):
        ours, theirs = wafer.summary(name), cluster.summary(name)
        if ours and theirs:
            times, slower = _times(ours["p99"], theirs["p99"]), ours["p99"] > theirs["p99"]
            how = "as fast" if times == "1.0" else f"{times} times {'slower' if slower else 'faster'}"
            sentences.append(f"{what} are {how} on {wafer.name} {'as' if times == '1.0' else 'than'} on {cluster.name} "
                             "(99th percentile)")
    for unit, ours, theirs in (("joule", wafer.joules, cluster.joules), ("dollar", wafer.usd, cluster.usd)):
        better, worse = (wafer, cluster) if ours <= theirs else (cluster, wafer)
        sentences.append(f"per {unit}, {better.name} answers {_times(ours, theirs)} times the requests of {worse.name}")
    return sentences


def _times(one: float, other: float) -> str:
    return f"{max(one, other) / min(one, other):.1f}"


def _kept(report: LoadReport, slo: Slo) -> str:
    verdict = "keeps" if report.keeps_objective else "misses"
    return (f"{report.name} {verdict} the objective ({slo.words()}): {percent(report.share_kept)} of the requests have that, "
            f"{percent(slo.share)} should, {_price(report)}")


def _system_count(needed: Needed, report: LoadReport, slo: Slo) -> str:
    """How many systems it takes."""
    objective = f"{slo.words()} for {percent(slo.share)} of the requests"
    if needed.systems is None:
        return f"no number of systems ({report.system}) is enough for {objective}: {needed.reason}"
    count = f"{needed.systems:,} system{'s' if needed.systems > 1 else ''} ({report.system})"
    fewer = needed.systems - 1
    enough = "is enough" if not fewer else f"are enough, {fewer:,} {'is' if fewer == 1 else 'are'} not,"
    return f"{count} {enough} for {objective}: {percent(report.share_kept)} have that, {_price(report)}"


def _price(report: LoadReport) -> str:
    return f"at {report.watts / 1e3:.3g} kW and {report.usd_per_hour:,.2f} USD an hour"

"""What came of a load on all sides, in sentences."""

from collections.abc import Mapping

from wsekern.compare.load import Needed
from wsekern.compare.load_report import LoadReport, Slo, percent
from wsekern.compare.verdict import amount, ranking, speed, times_the_cost


def load_sentences(reports: Mapping[str, LoadReport], needed: Mapping[str, Needed], slo: Slo) -> list[str]:
    """The comparison in words, the verdict last; ``reports`` and ``needed`` by side."""
    sentences = [f"{report.name} cannot keep up: its queue grows, and its last answer is complete "
                 f"{report.drain_seconds:,.0f} s after the last request came"
                 for report in reports.values() if not report.keeps_up]
    sentences += [_unmeasured(report) for report in reports.values() if report.facts.get("not_measured")]
    if len(reports) == 2:
        sentences += _ratios(*reports.values())
    if len(reports) > 2:
        sentences += _rankings(list(reports.values()))
    if needed:
        sentences += [_system_count(needed[name], report, slo) for name, report in reports.items()]
    elif not slo.empty:
        sentences += [_kept(report, slo) for report in reports.values()]
    return sentences


def _unmeasured(report: LoadReport) -> str:
    """A caution: how a queue answers to other service times is no factor, so that no range is given."""
    (least, most), lacking = report.facts["time_factors"], "; ".join(report.facts["not_measured"])
    return (f"{report.name} was not measured ({lacking}): its steps take {least:g} to {most:g} times as long as here, and its "
            "queue answers to that")


def _rankings(reports: list[LoadReport]) -> list[str]:
    """Several sides in the order of times, energy and cost."""
    figures = {f"{what} (99th percentile), soonest": {report.name: summary["p99"] for report in reports
                                                      if (summary := report.summary(name))}
               for name, what in (("time_to_first_token_seconds", "first tokens"),
                                  ("time_per_output_token_seconds", "further tokens"))}
    figures |= {"least energy": {report.name: report.joules for report in reports},
                "lowest price": {report.name: report.usd for report in reports}}
    return [ranking(words, {name: (value, value, value) for name, value in values.items()})
            for words, values in figures.items() if values]


def _ratios(wafer: LoadReport, cluster: LoadReport) -> list[str]:
    """Times, energy and cost side by side."""
    sentences = []
    for name, what in (("time_to_first_token_seconds", "first tokens"), ("time_per_output_token_seconds", "further tokens")):
        ours, theirs = wafer.summary(name), cluster.summary(name)
        if ours and theirs:
            how, than = speed(theirs["p99"] / ours["p99"]).rsplit(" ", 1)
            sentences.append(f"{what} are {how} on {wafer.name} {than} on {cluster.name} (99th percentile)")
    for unit, ours, theirs in (("per joule", wafer.joules, cluster.joules), ("per dollar", wafer.usd, cluster.usd)):
        sentences.append(amount(unit, times_the_cost(theirs, ours), wafer.name, cluster.name))
    return sentences


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

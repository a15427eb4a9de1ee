"""Child processes of the benchmarks import the installed package, as users do, never the uncompiled folder beside them; the
rates and goals of a run are printed at its end."""

import os

os.environ["PYTHONSAFEPATH"] = "1"


def pytest_terminal_summary(terminalreporter, config):
    """One line for each benchmark: what it noted in ``extra_info``."""
    if config.getoption("benchmark_disable", False):
        return
    done = getattr(getattr(config, "_benchmarksession", None), "benchmarks", [])
    found = [benchmark for benchmark in done if benchmark.extra_info]
    if found:
        terminalreporter.section("rates and goals")
    for benchmark in found:
        notes = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                 for name, value in benchmark.extra_info.items())
        terminalreporter.write_line(f"{benchmark.name}: {', '.join(notes)}")

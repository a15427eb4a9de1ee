"""A contract worked out: 750 MW of wafers, in numbers that ``wsekern compare --power`` prints, and by hand."""

from wsekern.compare.datacentre import Budget, Sites, datacentre, parse_power
from wsekern.compare.serving import Serving, WaferChoices
from wsekern.docs.markdown import table
from wsekern.machine import load_machine
from wsekern.report.sides import in_cell
from wsekern.report.systems import SITE_LINES
from wsekern.workload import Request, load_config

MODEL, POWER, SPEED, WEIGHTS = "gpt-oss-120b", "750MW", 200, "experts=mxfp4"
CLUSTERS = ("h200x8", "gb200-nvl72", "mi355x8", "tpu7x-64")
COMMAND = (f"wsekern compare {MODEL} --power {POWER} --min-speed {SPEED} --weight-precision {WEIGHTS} "
           f"--cluster {','.join(CLUSTERS)}")
"""What prints the numbers."""
YEARS = 3
"""Of the contract."""


def contract() -> str:
    """The command, its figures, and the arithmetic from the power to the wafers and the price."""
    budget, machine = Budget(parse_power(POWER), float(SPEED)), load_machine("wse3")
    sites = datacentre(load_config(MODEL), machine, CLUSTERS, budget, request=Request(),
                       serving=Serving(wafers=WaferChoices(weight_precision=WEIGHTS)))
    filled = {name: site for name, site in sites.sides().items() if site is not None}
    figures = table(("what the command prints", *(site.system for site in filled.values())),
                    [(name, *(in_cell(site, show) for site in filled.values())) for name, show in SITE_LINES])
    return f"```\n{COMMAND}\n```\n\n{figures}\n\nThe same by hand:\n\n{by_hand(budget, sites, float(machine.system.power))}"


def by_hand(budget: Budget, sites: Sites, rated: float) -> str:
    """From the power at the meter to wafers of ``rated`` watts, and from the price of an hour to that of the contract."""
    power, usable = budget.watts / 1e6, budget.usable_watts / 1e6
    rows = [
        ("wafers, if nothing else took power", f"{power:g} MW / {rated / 1e3:g} kW", f"{budget.watts / rated:,.0f}"),
        ("power for systems", f"{power:g} MW / {budget.overhead:g} x (1 - {budget.network:g})", f"{usable:g} MW"),
        ("wafers", f"{usable:g} MW / {rated / 1e3:g} kW", f"{budget.usable_watts / rated:,.0f}"),
    ]
    for site in (site for site in sites.chosen().values() if site is not None):
        hours = YEARS * 8760
        rows.append((f"price of {YEARS} years, {site.system}", f"{site.usd_per_hour:,.0f} USD x {hours:,} hours",
                     f"{site.usd_per_hour * hours / 1e9:.1f} billion USD"))
    return table(("", "by hand", ""), rows)

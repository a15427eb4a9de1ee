"""``wsekern plan``: a model placed once for a service, with the front of placements and the answers of each."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import (
    CACHE_PRECISION,
    COUNT,
    HTML,
    JSON,
    MAX_WAFERS,
    PRECISION,
    PROFILE,
    WEIGHT_PRECISION,
    Command,
    Target,
    emit,
    open_console,
    plot_option,
    whole_number,
    write_page,
)
from wsekern.cli.placing import EXPERT_LAW, PROGRAM_SET, choices_of
from wsekern.cli.serving import speculation_of, speculation_options
from wsekern.errors import InputError
from wsekern.output import ProgressBar, write_file

if TYPE_CHECKING:
    from wsekern.planning.service import Service, ServicePlan
    from wsekern.report.html import Page

MOST_COUNTS = 64
"""Numbers of wafers that are tried in one call."""


@click.command(cls=Command)
@click.argument("model")
@click.option("--context", default=8192, show_default=True, type=COUNT, help="Longest request: tokens in and out together.")
@click.option("--users", default="1:64", show_default=True, metavar="N|A:B",
              help="Users at once: every placement holds the caches of A, and up to B are asked for.")
@click.option("--mix", multiple=True, default=("1024/256",), show_default=True, metavar="IN/OUT[:SHARE]",
              help="Tokens in and out of the usual requests, by which placements are judged.")
@click.option("--wafers", default="auto", show_default=True, metavar="N|A:B|auto",
              help="How many wafers; auto: for each number of users the fewest that hold them.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@click.option("--pick", type=COUNT, metavar="N",
              help="Number of the placement that is told in full and written; default: on the fewest wafers, the one that "
                   "serves the most users soonest.")
@PRECISION
@WEIGHT_PRECISION
@CACHE_PRECISION
@PROGRAM_SET
@EXPERT_LAW
@PROFILE
@speculation_options
@JSON
@click.option("--out", "out_path", metavar="FILE", type=Target(),
              help="Write the placement marked * as a plan file (TOML).")
@click.option("--picture", "picture_path", metavar="FILE", type=Target(picture=True),
              help="Draw its floor plan (.png, .svg or .pdf).")
@plot_option("Draw speeds against users and context")
@HTML
def plan(model: str, context: int, users: str, mix: tuple[str, ...], wafers: str, machine: str, pick: int | None,
         precision: str, profile: str, json_path: str | None, out_path: str | None, picture_path: str | None,
         plot_path: str | None, html_path: str | None, **choices: Any) -> None:
    """Place MODEL on wafers once for a service, and say what the placement gives for any request.

    Prints the placements that no other one beats in speed for one user, users held, tokens/s of all and wafers; beside each the
    bound of its speed, the share of it that is reached, and the constraint that binds. --out writes a plan file, which may be
    changed by hand and is taken by `wsekern compare`, `wsekern predict wafer` and `wsekern run` with --plan.
    """
    from wsekern.machine import load_machine
    from wsekern.planning.plan_file import planned_config
    from wsekern.planning.service import plan_service
    from wsekern.report import curves_plot, floor_plot, plan_data, plan_view

    service, counts, config = _service(context, users, mix), _wafers(wafers), planned_config(model)
    speculation, placed = speculation_of(choices), len(counts) * len(service.user_counts())
    if pick is not None and pick > placed:
        raise InputError(f"pick is {pick}, but the front has at most {placed} placements, one for each number of users and "
                         "wafers that is tried: leave it out to see them")
    with ProgressBar("placing", placed) as advance:
        found = plan_service(config, load_machine(machine), service, counts, precision, profile, on_step=advance,
                             speculation=speculation, **choices_of(choices))
    found = replace(found, picked=pick)
    if out_path:
        _write_plan(out_path, model, machine, found)
    if picture_path:
        floor_plot(found.chosen.placement, picture_path)
    if plot_path:
        curves_plot(found, plot_path)
    write_page(html_path, lambda: _page(found))
    emit(json_path, plan_data(found))
    if json_path != "-":
        open_console().print(plan_view(found))


def _page(found: "ServicePlan") -> "Page":
    from wsekern.report.pages import plan_page

    return plan_page(found)


def _write_plan(path: str, model: str, machine: str, found: Any) -> None:
    from wsekern.planning.plan_file import plan_text

    write_file(path, plan_text(model, machine, found.chosen))


def _service(context: int, users: str, mix: tuple[str, ...]) -> "Service":
    from wsekern.planning.service import Service, Share

    fewest, most = _range("users", users, 10**6)
    return Service(context, fewest, most, tuple(Share.parse(text) for text in mix))


def _wafers(text: str) -> tuple[int | None, ...]:
    """How many to try; None for the fewest that hold the users."""
    if text == "auto":
        return (None,)
    fewest, most = _range("wafers", text, MAX_WAFERS)
    if most - fewest >= MOST_COUNTS:
        raise InputError(f"wafers is {text!r}: {most - fewest + 1} numbers of wafers, at most {MOST_COUNTS} are tried at once")
    return tuple(range(fewest, most + 1))


def _range(name: str, text: str, largest: int) -> tuple[int, int]:
    """``4`` or ``1:64`` as the first and the last number."""
    found = re.fullmatch(r"([^:]*)(?::([^:]*))?", text)
    first = whole_number(found[1]) if found else 0
    last = first if found is None or found[2] is None else whole_number(found[2])
    if not 1 <= first <= last <= largest:
        auto = "auto, " if name == "wafers" else ""
        raise InputError(f"{name} is {text[:60]!r}, expected {auto}a whole number of 1 to {largest:,}, or two such as 1:64")
    return first, last

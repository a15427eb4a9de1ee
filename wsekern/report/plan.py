"""A service's placements: tables, curves, and the floor plan of the wafers."""

import os
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.planning.service import Offer, ServicePlan
from wsekern.planning.stated import speculation_assumptions
from wsekern.report.floor import floor_data, floor_table
from wsekern.report.pictures import new_figure, save_figure
from wsekern.report.words import amount, seconds

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
"""Colors that people tell apart who do not see all of them (Okabe and Ito)."""


def plan_view(plan: ServicePlan) -> RenderableType:
    """The front, then what the chosen placement gives against users and context, then where it lies."""
    chosen = plan.chosen
    return Group(front_view(plan), Text(""), *curve_tables(chosen), floor_table(chosen.placement))


def curve_tables(offer: Offer) -> tuple[Table, Table]:
    """What a placement gives against users, and against tokens in the cache."""
    return _over_users(offer), _over_contexts(offer)


def front_view(plan: ServicePlan) -> RenderableType:
    """The front, what is stated of drafts, and what binds the chosen placement."""
    chosen = plan.chosen
    stated = speculation_assumptions(chosen.placement)
    stated += ["the bound is that of tokens one by one, without drafts"] if stated else []
    drafts = Text("".join(f"- {line}\n" for line in stated), style="dim")
    return Group(_front(plan), drafts, Text(f"{chosen.binding.sentence()} (of the placement marked *)"))


CAPTION = ("chunk: tokens of a prompt that pass together. Tokens/s of one user alone, the bound no placement passes, and the "
           "share; tokens/s of each and all of the most users; users held with full contexts; what binds. No placement beats "
           "another in all of them.")
"""What the columns of the front are."""


def _front(plan: ServicePlan) -> Table:
    service, config = plan.service, plan.offers[0].placement.config
    mix = ", ".join(map(str, service.mix))
    table = Table(title=f"{config.name}: contexts to {service.context:,}, {service.fewest} to {service.most} users, {mix}",
                  title_justify="left", box=None, padding=(0, 1, 0, 0),
                  caption=CAPTION, caption_justify="left")
    for name in ("", "wafers", "regions", "chunk", "tok/s\nof one", "bound", "share", f"each\nof {service.most}",
                 f"all\nof {service.most}", "held", "binds"):
        table.add_column(name, justify="left" if name in ("", "regions", "binds") else "right", no_wrap=True)
    for number, offer in enumerate(plan.offers, 1):
        placement = offer.placement
        table.add_row(f"{number}*" if offer is plan.chosen else str(number), str(placement.wafers), _regions(offer),
                      str(placement.chunk), amount(offer.speed), amount(offer.bound.tokens_per_second), f"{offer.share:.2f}",
                      amount(1.0 / offer.token_seconds(service.most)), amount(offer.total),
                      f"{offer.held:,}{'+' if offer.held == service.most else ''}", offer.binding.name)
    return table


def _regions(offer: Offer) -> str:
    placement = offer.placement
    more = "+" if len(placement.shapes) > 1 else ""
    return f"{placement.regions} {placement.width}x{placement.height}{more}"


def _over_users(offer: Offer) -> Table:
    longest = dict(offer.contexts_for_users())
    table = _plain("users", "tok/s each", "tok/s in all", "first token", "longest context")
    for users, speed, total in offer.over_users():
        table.add_row(f"{users:,}", amount(speed), amount(total), seconds(offer.first_token_seconds(users)),
                      f"{longest[users]:,}")
    return table


def _over_contexts(offer: Offer) -> Table:
    table = _plain("tokens in the cache", "tok/s, one user", "prompt tok/s")
    for tokens, speed, prompt in offer.over_contexts():
        table.add_row(f"{tokens:,}", amount(speed), amount(prompt))
    return table


def _plain(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="right")
    return table


def plan_data(plan: ServicePlan) -> dict[str, Any]:
    """Plain data for JSON: the front, and of the chosen placement curves and regions."""
    service, chosen = plan.service, plan.chosen
    config = chosen.placement.config
    return {"model": config.name, "machine": chosen.placement.machine.name,
            "service": {"context": service.context, "fewest_users": service.fewest, "most_users": service.most,
                        "mix": [str(share) for share in service.mix]},
            "front": [{**_offer_data(offer), "chosen": offer is chosen} for offer in plan.offers],
            "over_users": [{"users": users, "tokens_per_second_per_user": speed, "tokens_per_second": total,
                            "time_to_first_token_seconds": offer_first, "longest_context": longest}
                           for (users, speed, total), (_, longest) in zip(chosen.over_users(), chosen.contexts_for_users(),
                                                                         strict=True)
                           for offer_first in (chosen.first_token_seconds(users),)],
            "over_contexts": [{"cached_tokens": tokens, "tokens_per_second_per_user": speed, "prompt_tokens_per_second": prompt}
                              for tokens, speed, prompt in chosen.over_contexts()],
            "assumptions": speculation_assumptions(chosen.placement),
            "bound": chosen.bound.to_dict(), "regions": floor_data(chosen.placement)}


def _offer_data(offer: Offer) -> dict[str, Any]:
    placement, most = offer.placement, offer.service.most
    return {"wafers": placement.wafers, "regions": placement.regions, "grid": f"{placement.width}x{placement.height}",
            "layers_per_region": placement.layers, "prompt_chunk_tokens": placement.chunk,
            "tokens_per_second_one_user": offer.speed, "bound_tokens_per_second": offer.bound.tokens_per_second,
            "share_of_bound": offer.share, "binds": offer.binding.name, "binds_because": offer.binding.sentence(),
            "seconds_by_cause": offer.binding.seconds, "users_held": offer.held,
            "tokens_per_second_per_user": 1.0 / offer.token_seconds(most), "tokens_per_second": offer.total,
            "time_to_first_token_seconds": offer.first_token_seconds(most), "request_seconds": offer.request_seconds(most),
            "longest_context": offer.contexts_for_users()[0][1]}


def curves_plot(plan: ServicePlan, path: str | os.PathLike[str]) -> None:
    """Speed against users, speed and reading of prompts against context, and the longest context against users."""
    chosen = plan.chosen
    figure = new_figure((13, 4.2))
    users, contexts, longest = figure.subplots(1, 3)
    counts, each, total = zip(*chosen.over_users(), strict=True)
    users.plot(counts, each, "o-", color=BLUE, label="for each user")
    users.plot(counts, total, "s--", color=ORANGE, label="in all")
    users.set(xscale="log", yscale="log", xlabel="users at once", ylabel="tokens/s")
    cached, speeds, prompts = zip(*chosen.over_contexts(), strict=True)
    contexts.plot(cached, speeds, "o-", color=BLUE, label="one user's answer")
    contexts.plot(cached, prompts, "s--", color=GREEN, label="one user's prompt")
    contexts.axhline(chosen.bound.tokens_per_second, color="black", linestyle=":", label="bound of the answer")
    contexts.set(xscale="log", yscale="log", xlabel="tokens in the cache", ylabel="tokens/s")
    longest.plot(*zip(*chosen.contexts_for_users(), strict=True), "o-", color=BLUE)
    longest.set(xscale="log", yscale="log", xlabel="users at once", ylabel="longest context of all (tokens)")
    for axes in (users, contexts):
        axes.legend()
    figure.suptitle(f"{chosen.placement.config.name} on {chosen.placement.wafers} x {chosen.placement.machine.title}")
    save_figure(figure, path)

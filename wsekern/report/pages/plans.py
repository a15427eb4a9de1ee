"""The page of a plan: the front of placements, the chosen one's floor plan, its journey and its curves."""

from wsekern.compare.wafer_side import wafer_assumptions
from wsekern.planning.journey import Journey
from wsekern.planning.service import ServicePlan
from wsekern.report.html import Lines, Page, Section, Series, curves, parts_of
from wsekern.report.pages.wafers import floor_section, journey_section, nearby_section, time_section
from wsekern.report.plan import curve_tables, front_view, plan_data
from wsekern.report.words import amount
from wsekern.workload import Request


def plan_page(plan: ServicePlan) -> Page:
    """What was asked, what the chosen placement gives, and where it lies."""
    chosen, service = plan.chosen, plan.service
    placement, journey = chosen.placement, Journey(chosen.placement)
    title = f"{placement.config.name} on {placement.machine.title}: contexts to {service.context:,}"
    answer = (f"{placement.wafers} wafer{'s' if placement.wafers > 1 else ''} with {placement.regions} regions give one user "
              f"{amount(chosen.speed)} tokens/s, {100 * chosen.share:.0f} % of the bound, and hold {chosen.held:,} users with "
              f"full contexts; {chosen.binding.sentence()}.")
    over_users, over_contexts = curve_tables(chosen)
    speeds = [(users, each, total) for users, each, total in chosen.over_users()]
    contexts = chosen.over_contexts()
    pictures = [
        curves("Against users", "Tokens/s under load.", [
            Series("for each user", [(users, each, f"{users:,} users: {amount(each)} tokens/s each")
                                     for users, each, _ in speeds], 0),
            Series("in all", [(users, total, f"{users:,} users: {amount(total)} tokens/s in all")
                              for users, _, total in speeds], 1, dashed=True)], "users at once", "tokens/s"),
        curves("Against tokens in the cache", "Of one user.", [
            Series("answer", [(tokens, speed, f"{tokens:,} tokens in the cache: {amount(speed)} tokens/s")
                              for tokens, speed, _ in contexts], 0),
            Series("prompt", [(tokens, read, f"{tokens:,} tokens: {amount(read)} prompt tokens/s")
                              for tokens, _, read in contexts], 2, dashed=True)], "tokens in the cache", "tokens/s",
               guides=[("y", chosen.bound.tokens_per_second, "bound of the answer")]),
    ]
    return Page(title, answer, [
        Section("Placements that no other beats", parts_of(front_view(plan))), floor_section(placement),
        time_section(journey), journey_section(journey),
        Section("Load and length", [pictures[0], *parts_of(over_users), pictures[1], *parts_of(over_contexts)]),
        Section("Assumed", [Lines(wafer_assumptions(placement, Request(service.context - 1, 1)))]),
        nearby_section(placement.config, placement.machine)],
        plan_data(plan))

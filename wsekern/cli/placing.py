"""How wafers run a model: options of the commands that place one, and plan files."""

from typing import TYPE_CHECKING, Any

import click

from wsekern.errors import InputError

if TYPE_CHECKING:
    from wsekern.planning.plan_file import LoadedPlan

PROGRAM_SET = click.option("--program-set", type=click.Choice(["default", "2024-08"]), default="default", show_default=True,
                           help="Programs of the wafer's layers: the quickest of today, or those that a service of August 2024 "
                                "could run, before kernels were rewritten.")
EXPERT_LAW = click.option("--expert-law", default="zipf:0.9", show_default=True, metavar="LAW",
                          help="Which experts of a mixture tokens choose, where they lie on blocks of the wafer's columns: "
                               "zipf:S (the i-th most popular one in proportion to i^-S), uniform, or a file with the numbers "
                               "of the experts of a token in each line.")
PLAN = click.option("--plan", "plan_path", metavar="FILE",
                    help="A plan file of `wsekern plan`, which says where the model lies: in place of the options for the "
                         "wafers.")

INSTEAD = ("wafer", "wafers", "machine", "precision", "weight_precision", "cache_precision", "program_set", "expert_law",
           "activations", "profile", "grid_text", "mapping")
"""Parameters whose choices a plan file makes."""


def read_plan(path: str, model: str | None) -> "LoadedPlan":
    """The plan in a file, for the running command; refused beside another MODEL or an option whose choice the plan makes."""
    from wsekern.planning.plan_file import load_plan

    if not path:
        raise InputError("--plan is empty, expected a plan file, as wsekern plan --out writes it")
    context = click.get_current_context()
    stated = [parameter.opts[0] for parameter in context.command.params if parameter.name in INSTEAD
              and context.get_parameter_source(str(parameter.name)) is not click.core.ParameterSource.DEFAULT]
    if stated:
        raise InputError(f"{' and '.join(stated)} {'goes' if len(stated) == 1 else 'go'} without --plan, which says that "
                         "itself: change the plan file")
    plan = load_plan(path)
    if model not in (None, plan.model):
        raise InputError(f"MODEL is {str(model)[:60]!r}, but {path} places {plan.model!r}: leave MODEL out")
    return plan


def need_model(model: str | None, such_as: str) -> str:
    """MODEL, which only a plan file may stand for."""
    if model is None:
        raise InputError(f"give a MODEL such as {such_as}, or a plan file with --plan")
    return model


def choices_of(given: dict[str, Any]) -> dict[str, Any]:
    """The formats, the law of experts and the program set among ``given`` parameters, which are taken out, as
    :func:`place_model` names them."""
    from wsekern.workload.popularity import parse_expert_law

    return {"programs": given.pop("program_set"), "weight_precision": given.pop("weight_precision"),
            "cache_precision": given.pop("cache_precision"), "expert_law": parse_expert_law(given.pop("expert_law"))}

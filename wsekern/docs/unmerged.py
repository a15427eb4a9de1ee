"""Tables made here until ``wsekern.validation.tables`` and ``wsekern.ops.predict.operation_table`` are there."""

from wsekern.docs.markdown import table
from wsekern.ops.predict import OPERATIONS
from wsekern.validation import cores, formulas, gpu, wafer

FAMILIES = "Errors per GPU and model family, `wsekern validate --only gpu --families`; fitted rows are left out:"


def operations() -> str:
    """Names alone."""
    return table(("operation", ), [(f"`{name}`", ) for name in OPERATIONS])


def markdown(kind: str) -> str:
    """All groups with a prediction: ``kind`` wafer or gpu."""
    if kind == "wafer":
        groups = [group for module in (wafer, formulas, cores) for group in module.validate_rows()["groups"]]
        return table(("group", "rows", "of them fitted", "median error", "worst"), [
            (group["group"], group["predicted"], group["fitted"], _percent(group["median_error"]),
             _percent(group["worst_error"]))
            for group in sorted(groups, key=lambda group: group["group"]) if group["predicted"]])
    groups = table(("group", "rows", "of them fitted", "median error", "p90", "worst"), [
        (group["group"], group["predicted"], group["fitted"], _percent(group["median_error"]), _percent(group["p90_error"]),
         _percent(group["worst_error"])) for group in gpu.validate_rows()["groups"] if group["median_error"] is not None])
    families = table(("kind", "GPU", "family", "rows", "median error", "p90"), [
        (line["kind"], line["gpu"], line["family"], line["tested"], _percent(line["median_error"]), _percent(line["p90_error"]))
        for line in gpu.family_table()])
    return f"{groups}\n\n{FAMILIES}\n\n{families}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"

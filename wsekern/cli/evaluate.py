"""``wsekern evaluate``: what the wafer's arithmetic costs a model, measured on a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import JSON, PROFILE, THREADS, Command, Whole, emit, open_console, parse_grid
from wsekern.cli.sampling import open_model
from wsekern.output import ProgressBar

if TYPE_CHECKING:
    from wsekern.inference.perplexity import Arithmetic, Score

WEIGHTS = {"16": "stored", "8": "int8", "4": "int4"}
"""Short names of weight formats."""


@click.command(cls=Command)
@click.argument("model")
@click.option("--text", "text_path", metavar="FILE", type=click.Path(path_type=Path),
              help="Text in UTF-8; default: the beginning of Pride and Prejudice, which is bundled.")
@click.option("--tokens", default=128, show_default=True, type=Whole(least=2), help="How many tokens of the text.")
@click.option("--precision", "precisions", multiple=True, help="fp32, fp16, fp16_fp32, bf16; may be repeated.")
@click.option("--weights", "formats", multiple=True,
              type=click.Choice(["16", "8", "4", "int8", "fp8", "int4", "int4-64", "mxfp4"]),
              help="Matrices of the layers kept in a format, and unpacked by PEs (int4-64, and all in fp32: rounded to it and "
                   "back when they are placed): 16 not, 8 is int8, 4 is int4; may be repeated.")
@click.option("--cache", "caches", multiple=True, type=click.Choice(["16", "fp8"]),
              help="Keys and values: 16 in the precision, fp8 packed on the PEs; may be repeated.")
@click.option("--activations", "forms", multiple=True, type=click.Choice(["scalar", "vector", "vector-fp32"]),
              help="SiLU and exponentials: library calls, or vector instructions; may be repeated.")
@click.option("--program-set", "sets", multiple=True, type=click.Choice(["default", "2024-08"]),
              help="Programs of the layers: the quickest of today, or nothing folded and scalar functions; may be repeated.")
@click.option("--grid", "grid_text", metavar="WxH", help="Grid of PEs; default: a small one that fits.")
@click.option("--machine", default="wse3", show_default=True, help="wse1, wse2, wse3, or a TOML file.")
@PROFILE
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Threads of the simulation.")
@JSON
def evaluate(model: str, text_path: Path | None, tokens: int, precisions: tuple[str, ...], formats: tuple[str, ...],
             forms: tuple[str, ...], sets: tuple[str, ...], caches: tuple[str, ...], grid_text: str | None, machine: str,
             profile: str, threads: int, json_path: str | None) -> None:
    """Perplexity of MODEL (as in `run`) on a text, executed on a simulated wafer in several arithmetics.

    Without --precision, --weights, --activations, --program-set and --cache: each precision, and fp16 with scalar functions,
    with the programs of 2024-08, with each weight format, and with a cache of fp8. Ctrl-C keeps the rows that are done.
    """
    from wsekern.inference.perplexity import default_text, exact_logits, read_tokens, score
    from wsekern.machine import load_machine

    wafer, checkpoint = load_machine(machine), open_model(model)
    rows = arithmetics(precisions, formats, forms, sets, caches)
    file = text_path or default_text()
    ids, grid, done = read_tokens(checkpoint, file, tokens), parse_grid(grid_text), []
    try:
        with ProgressBar(f"{len(rows)} arithmetics on {len(ids)} tokens", len(rows) * len(ids)) as advance:
            exact = exact_logits(checkpoint, ids)
            for row in rows:
                done.append(score(checkpoint, wafer, ids, exact, row, grid, profile, threads, advance))
    finally:
        if done:
            _show({"model": checkpoint.config.name, "text": str(file), "tokens": len(ids), "machine": wafer.name}, done,
                  json_path)


def arithmetics(precisions: tuple[str, ...], formats: tuple[str, ...], forms: tuple[str, ...],
                sets: tuple[str, ...] = (), caches: tuple[str, ...] = ()) -> "list[Arithmetic]":
    """Every combination of what is asked for; where nothing is, those that differ in one thing from fp16."""
    from wsekern.inference.perplexity import Arithmetic
    from wsekern.inference.weight_formats import WEIGHT_FORMATS
    from wsekern.workload.request import WAFER_PRECISIONS, check_precision

    for precision in precisions:
        check_precision(precision)
    if not (precisions or formats or forms or sets or caches):
        return [*map(Arithmetic, WAFER_PRECISIONS), Arithmetic(activations="scalar"), Arithmetic(programs="2024-08"),
                *(Arithmetic(weights=name) for name in WEIGHT_FORMATS), Arithmetic(cache="fp8")]
    return [Arithmetic(precision, WEIGHTS.get(name, name), form, programs, "" if cache == "16" else cache)
            for precision in precisions or ("fp16",) for name in formats or ("16",) for form in forms or (None,)
            for programs in sets or ("default",) for cache in caches or ("16",)]


def _show(facts: dict[str, Any], scores: "list[Score]", json_path: str | None) -> None:
    from wsekern.inference.weight_formats import WEIGHT_FORMATS

    used = {one.arithmetic.weights for one in scores}
    emit(json_path, {**facts, "exact_perplexity": scores[0].exact_perplexity, "rows": [one.to_dict() for one in scores],
                     "weight_formats": {name: form.title for name, form in WEIGHT_FORMATS.items() if name in used}})
    if json_path != "-":
        from wsekern.report import scores_view

        open_console().print(scores_view(f"{facts['model']}: {facts['tokens']} tokens of {Path(facts['text']).name}", scores))

"""The command line: thin wrappers that parse, call, and show. One module for each command; ``options`` is what they share."""

from wsekern.interrupts import leaving_quietly

with leaving_quietly():
    import click

    from wsekern.cli import chat, compare, csl, doctor, evaluate, machines, plan, predict, run, sweep, validate
    from wsekern.cli.options import help_alone, run_command
    from wsekern.garbage import seldom_collected


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="wsekern")
@click.pass_context
def cli(context: click.Context) -> None:
    """LLM inference on a simulated wafer-scale engine, beside a modelled GPU cluster."""
    help_alone(context)


for command in (compare.compare, sweep.sweep, plan.plan, run.run, chat.chat, evaluate.evaluate, predict.predict,
                validate.validate, machines.machines, doctor.doctor, csl.csl, csl.sdk):
    cli.add_command(command)


def main() -> None:
    """Entry point."""
    with seldom_collected():
        run_command(cli)

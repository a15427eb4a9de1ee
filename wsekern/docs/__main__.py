"""``python -m wsekern.docs [--root FOLDER] [--check]``."""

from pathlib import Path

import click

from wsekern.cli.options import run_command
from wsekern.docs.journey import take_screenshots
from wsekern.docs.pages import rewrite
from wsekern.docs.parts import PICTURES, SLOW, parts_of


@click.command()
@click.option("--root", default=".", show_default=True, metavar="FOLDER",
              help="Source folder: the one that holds README.md and docs.")
@click.option("--quick", is_flag=True, help="Leave the parts that take minutes as they are.")
@click.option("--screenshots", is_flag=True, help="Take the pictures of a page in Chromium, and nothing else.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 and name the parts that differ.")
def main(root: str, quick: bool, screenshots: bool, check: bool) -> int:
    """Write the generated parts of README.md and docs/."""
    if screenshots:
        for name in take_screenshots(Path(root)):
            click.echo(f"written: {name}")
        return 0
    differing = rewrite(Path(root), parts_of(Path(root)), PICTURES, check, SLOW if quick else ())
    for name in differing:
        click.echo(f"{'differs' if check else 'written'}: {name}")
    if check and differing:
        click.echo("type `python -P -m wsekern.docs` in the source folder to write them", err=True)
        return 1
    return 0


if __name__ == "__main__":
    run_command(main)

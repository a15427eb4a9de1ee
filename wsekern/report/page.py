"""Anything that the terminal shows, as a page."""

import os

from rich.console import Console, RenderableType


def html_page(view: RenderableType, title: str) -> str:
    """A self-contained HTML page that shows ``view``."""
    console = Console(record=True, width=118, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    try:
        console.print(view)
        page = console.export_html(inline_styles=True)
    finally:
        console.file.close()
    return page.replace("<head>", f"<head>\n<title>{title}</title>", 1)

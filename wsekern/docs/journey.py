"""The journey of a token as a picture, and pictures of a page in a browser."""

from pathlib import Path

from wsekern.docs.pages import Picture
from wsekern.docs.picture import SETTINGS, labels_of, svg_text
from wsekern.docs.results import comparison
from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.planning.journey import Journey
from wsekern.report.html import render
from wsekern.report.journey import journey_figure
from wsekern.report.pages import comparison_page

MODEL, CLUSTER = "llama3-8b", "h100x8"
"""What `wsekern compare llama3-8b` compares."""
CHROMIUM = "/usr/bin/chromium"
SHOTS = (("docs/page.png", 1400, 1250, "light"), ("docs/page-phone.png", 390, 1250, "dark"))
"""File, width and height in pixels, colors."""
SHOWN = "#floor-plan"
"""Where the pictures begin."""


def _draw() -> str:
    from matplotlib import rc_context

    found = comparison(MODEL, CLUSTER)
    with rc_context(SETTINGS):
        return svg_text(journey_figure(Journey(found.pairings[0].placement(found.request))))


PICTURE = Picture(f"docs/journey-{MODEL}.svg", _draw, labels_of)


def take_screenshots(root: Path) -> list[str]:
    """Open the page of the comparison in Chromium and write :data:`SHOTS` under ``root``; their names. It wants the extra
    ``browser``."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError('screenshots want Chromium and a driver: apt-get install chromium, pip install ".[browser]"') from None
    found = comparison(MODEL, CLUSTER)
    page = render(comparison_page(found, found.to_dict()))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, width, height, scheme in SHOTS:
            view = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            view.set_content(page)
            view.evaluate(f"document.querySelector('{SHOWN}').scrollIntoView()")
            write_file(root / name, view.screenshot())
        browser.close()
    return [name for name, *_ in SHOTS]

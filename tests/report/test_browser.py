"""Pages in a real browser: Chromium, where WSEKERN_BROWSER=1 says that it is there (.ci/run installs it)."""

import os

import pytest

if os.environ.get("WSEKERN_BROWSER") != "1":
    pytest.skip("set WSEKERN_BROWSER=1 where Chromium is installed", allow_module_level=True)

axe = pytest.importorskip("axe_core_python.sync_playwright")
playwright = pytest.importorskip("playwright.sync_api")

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1400, "height": 900}}
FEW = 12
"""Marks of a chart and rows of a table that axe looks at: all others are alike, and it takes its time for each."""
SHORTEN = """() => {
  for (const area of document.querySelectorAll(".area")) [...area.querySelectorAll(".m")].slice(%d).forEach(m => m.remove());
  for (const body of document.querySelectorAll("tbody")) [...body.rows].slice(%d).forEach(row => row.remove());
}""" % (FEW, FEW)  # noqa: UP031  (braces are JavaScript's)
DRAWN = """() => [...document.querySelectorAll(".area")].map(area => {
  const box = area.getBoundingClientRect(), marks = [...area.querySelectorAll(".m")].map(m => m.getBoundingClientRect());
  return box.width > 100 && box.height > 20 && marks.length > 0 && marks.every(m => m.width > 0 && m.height > 0
    && m.right > box.left - 12 && m.left < box.right + 12 && m.bottom > box.top - 12 && m.top < box.bottom + 12);
})"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser, written):
    """Open the page of a command; what the browser says on its console makes the test fail."""
    said, pages = [], []

    def open_page(name: str, size: str, scheme: str):
        page = browser.new_page(viewport=SIZES[size], color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
        page.goto(written(name).page.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not said


@pytest.mark.parametrize(("name", "size"), [("compare", "phone"), ("compare", "desk"), ("run", "phone"), ("gpu", "phone")])
def test_charts_are_drawn_and_nothing_leaves_the_screen(opened, name, size):
    page = opened(name, size, "light")
    drawn = page.evaluate(DRAWN)
    assert drawn and all(drawn)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]


def test_the_keyboard_reaches_every_chart_and_its_marks(opened):
    page = opened("compare", "desk", "light")
    charts = page.evaluate("document.querySelectorAll('.area').length")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate("[...document.querySelectorAll('.area')].findIndex(a => a.contains(document.activeElement))")
        reached.add(found)
    assert reached >= set(range(charts))
    page.evaluate("document.querySelector('.area .m').focus()")
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert page.evaluate("document.getElementById('tip').textContent") == first
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert second != first and page.evaluate("document.getElementById('tip').textContent") == second
    page.keyboard.press("Escape")
    assert page.evaluate("getComputedStyle(document.getElementById('tip')).display") == "none"


def test_the_pointer_shows_what_a_mark_says(opened):
    page = opened("compare", "desk", "dark")
    mark = page.locator(".plan .m").first
    mark.hover()
    assert page.evaluate("document.getElementById('tip').textContent") == mark.get_attribute("aria-label")


@pytest.mark.parametrize(("name", "scheme"), [("compare", "light"), ("compare", "dark"), ("run", "dark")])
def test_axe_finds_nothing(opened, name, scheme):
    page = opened(name, "phone", scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.evaluate(SHORTEN)
    found = axe.Axe().run(page)["violations"]
    assert not [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found]

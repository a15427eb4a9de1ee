"""Pages as data: tables and sentences of the terminal, scales, and the file that comes out."""

import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text as RichText

from wsekern.report.html import (
    Lines,
    Mark,
    Page,
    Section,
    Series,
    Span,
    Table,
    Text,
    bars,
    cells,
    curves,
    floor,
    lanes,
    parts_of,
    render,
)
from wsekern.report.html.scales import MOST_TICKS, Scale

PLOTS = [
    curves("a curve", "a < b", [Series("one", [(1.0, 2.0, "first & last"), (100.0, 3.0, "second")])], "x", "y",
           guides=[("x", 10.0, "limit"), ("y", 2.5, "line")], header=("x",), rows=[("1",)]),
    bars("bars", "", {"a": [("p", 1.0, 0), ("none", 0.0, 1), ("q", 3.0, 2)]}, "cycles", "cycles", header=("a",), rows=[("1",)]),
    lanes("lanes", "", [Span("first", 0.0, 2.0, "one"), Span("second", 2.0, 6.0, "other")], "s", header=("a",), rows=[("1",)]),
    floor("floor", "", 10, 20, [(0, 15, 5, 5, Mark(0, 0, 0, 0, "corner", filled=0.5))], header=("a",), rows=[("1",)]),
    cells("cells", "", ("users", ["1", "2"]), ("prompt", ["a"]), {("1", "a"): ("wafer wins", 0, "w")}, header=("a",),
          rows=[("1",)]),
]


class Reader(HTMLParser):
    """What is open, and every element that was met."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.met: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.met.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.met if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def whole_page() -> str:
    table = Table(["", "n"], [["a < b", "1"], ["c", "-"]], "a title", "a caption")
    words = Section("Words", [table, Lines(["x"], "t"), Text("y")])
    data = {"text": "</script>", "value": 1.5}
    return render(Page("1 < 2", "the answer", [Section("Charts", PLOTS), words, Section("More", [])], data))


def test_a_page_stands_alone_and_escapes():
    page = whole_page()
    reader = read(page)
    assert "<title>1 &lt; 2</title>" in page and "a &lt; b" in page
    assert reader.of("html") == [{"lang": "en"}] and not reader.of("link") and not reader.of("img")
    assert not any({"src", "srcset"} & set(attributes) for _, attributes in reader.met)
    assert not re.search(r"https?://|@import|url\(", page)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in reader.of("meta")


def test_the_data_of_a_page_is_read_back():
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', whole_page(), re.DOTALL)
    assert found is not None and json.loads(found[1]) == {"text": "</script>", "value": 1.5}


def test_every_chart_has_marks_with_labels_one_of_them_reached_by_the_keyboard_and_a_table():
    reader = read(whole_page())
    marks = [attributes for _, attributes in reader.met if (attributes.get("class") or "").split()[:1] == ["m"]
             and "role" in attributes]
    assert len(marks) == sum(len(plot.marks) for plot in PLOTS) and all(mark["aria-label"] for mark in marks)
    assert sum(mark["tabindex"] == "0" for mark in marks) == len(PLOTS) == len(reader.of("details")) == len(reader.of("figure"))


def test_what_lies_where():
    assert [(mark.left, mark.bottom) for mark in PLOTS[2].marks] == [(0.0, 55.0), (25.0, 5.0)]
    box = PLOTS[3].marks[0]
    assert (box.left, box.bottom, box.width, box.height) == (0.0, 0.0, 50.0, 25.0) and PLOTS[3].aspect == 0.5
    assert [mark.label for mark in PLOTS[1].marks] == ["a, p: 1 cycles", "a, q: 3 cycles"]


def test_what_has_no_place_on_an_axis_is_left_to_the_table():
    points = [(1.0, float("inf"), "free"), (0.0, 1.0, "none"), (2.0, 3.0, "some")]
    assert [mark.label for mark in curves("c", "", [Series("s", points)], "x", "y").marks] == ["some"]
    assert [mark.label for mark in curves("c", "", [Series("s", points)], "x", "y", (False, True)).marks] == ["none", "some"]
    assert curves("c", "", [Series("s", [])], "x", "y").marks == []


@given(st.floats(1e-9, 1e12), st.floats(1.001, 1e9), st.booleans())
def test_ticks_are_few_round_and_inside(low, factor, log):
    scale = Scale.of([low, low * factor], log)
    ticks = scale.ticks()
    assert len(ticks) <= MOST_TICKS + (5 if log else 1) and all(-1e-6 <= at <= 100.0 + 1e-6 for at, _ in ticks)
    assert 0.0 <= scale.at(low) < scale.at(low * factor) <= 100.0


def test_what_the_terminal_shows_becomes_tables_lists_and_paragraphs():
    table = RichTable("name", "value", title="figures", caption="all of them")
    table.add_row("speed", "3")
    grid = RichTable.grid()
    grid.add_row("wafer", RichText("███"), "57 %")
    found = parts_of(Group(table, RichText("Assumed\n- one\n- two\nand more"), RichText(""), grid))
    assert found == [Table(["name", "value"], [("speed", "3")], "figures", "all of them"), Lines(["one", "two"], "Assumed"),
                     Text("and more"), Table(["", ""], [("wafer", "57 %")])]

"""One page for whatever a command answers: real tables, charts for pointer and keyboard, light and dark, in one file.

A :class:`Page` is data: sections of tables, lines, text and charts (:mod:`wsekern.report.html.charts` makes them).
:func:`render` writes it with Jinja2. Charts are laid out here, in percent of their area, as HTML elements with a label each, so
that text keeps its size on a phone, a screen reader and the keyboard reach every mark, and a page needs neither a network nor
a library in the browser: what is drawn on a canvas would be one opaque picture, and three times the size of a page.
"""

from wsekern.report.html.charts import Line, Mark, Plot, Series, Span, bars, cells, curves, floor, lanes
from wsekern.report.html.parts import Lines, Page, Part, Section, Table, Text, parts_of
from wsekern.report.html.render import render

__all__ = ["Line", "Lines", "Mark", "Page", "Part", "Plot", "Section", "Series", "Span", "Table", "Text", "bars", "cells",
           "curves", "floor", "lanes", "parts_of", "render"]

"""The wavelet fabric, in the words of a CSL layout.

A wavelet is 32 bits of data and a color. Every router has five ports (NORTH, EAST, SOUTH, WEST and the RAMP to its core)
and, for each color, a route: from which port words come (``rx``) and to which ports they go (``tx``; several are a
multicast). :class:`FabricPlan` paints routes over rectangles of PEs, as ``@set_color_config`` does in a layout, and checks what
the generation allows; :class:`Fabric` is one run of it: ``inject``, ``step`` or ``run_until_idle``, ``drain``.

A row broadcast from PE 0, with a branch at PE 2 that a control word turns south (a *switch* with two positions):

>>> from wsekern.fabric import Command, Fabric, FabricPlan, Position, control_payload, text_heatmap
>>> plan = FabricPlan(5, 2, "wse2")
>>> plan.paint(3, rx="RAMP", tx="EAST")
>>> plan.paint(3, rx="WEST", tx="EAST RAMP", x=1, width=3)
>>> plan.paint(3, rx="WEST", tx="EAST RAMP", x=2, switches=(Position(tx="SOUTH"),), pop_mode="pop_on_advance")
>>> plan.paint(3, rx="WEST", tx="RAMP", x=4)
>>> plan.paint(3, rx="NORTH", tx="RAMP", x=2, y=1)
>>> fabric = Fabric(plan)
>>> fabric.inject(0, 0, 3, [10, 11])
>>> fabric.inject(0, 0, 3, control_payload([Command.SWITCH_ADV]), control=True)
>>> fabric.inject(0, 0, 3, [12])
>>> fabric.run_until_idle()
10
>>> words = fabric.drain()
>>> for data in (10, 11, 12):
...     print(data, [(int(w["x"]), int(w["y"]), int(w["cycle"])) for w in words if w["data"] == data])
10 [(1, 0, 5), (2, 0, 6), (3, 0, 7), (4, 0, 8)]
11 [(1, 0, 6), (2, 0, 7), (3, 0, 8), (4, 0, 9)]
12 [(1, 0, 8), (2, 1, 10)]
>>> fabric.position(2, 0, 3)
1

A word needs the ramp's latency, the hops' and the ramp's again (2 + hops + 2 cycles on WSE-2); one word passes a link
in a cycle (8 in 9 cycles in the ``silicon`` profile of WSE-3); colors take turns on a link, a blocked color never
blocks another, and a full queue (4 words for each router and color) holds its sender back. Filters
(:class:`RangeFilter`, :class:`CounterFilter`) keep words from a core, ``rewrite``, ``set_position`` and ``teardown``
change routes while the fabric runs. What breaks the rules, two ports at once for one color, a word on an unrouted
color, a ring of waiting queues, words that run in a circle, stops the run with PE, color, port, cycle and who waits for
whom.

:meth:`FabricPlan.connect` finds ways by itself, with colors that are free. Hosts that go with a fabric cycle by cycle open
ports (:meth:`Fabric.port`) and run to reasons (:meth:`Fabric.run`); :class:`Wafers` joins the edges of several fabrics.

``link_counts``, ``stall_counts`` (of one color or of all) and ``occupancy`` say where words went and where they waited;
:func:`text_heatmap` and :func:`plot_heatmap` show it, :func:`trace` writes a window of cycles for ui.perfetto.dev.
"""

from wsekern.fabric._host import HostPort
from wsekern.fabric.heatmap import animate_heatmap, link_use, plot_heatmap, record_use, text_heatmap
from wsekern.fabric.plan import Connection, FabricPlan, Rules
from wsekern.fabric.routes import (
    Command,
    CounterFilter,
    Port,
    Position,
    RangeFilter,
    Route,
    control_payload,
    make_route,
)
from wsekern.fabric.simulation import Fabric, Stop, Word
from wsekern.fabric.trace import trace
from wsekern.fabric.wafers import Link, Wafers

__all__ = ["Command", "Connection", "CounterFilter", "Fabric", "FabricPlan", "HostPort", "Link", "Port", "Position",
           "RangeFilter", "Route", "Rules", "Stop", "Wafers", "Word", "animate_heatmap", "control_payload", "link_use",
           "make_route", "plot_heatmap", "record_use", "text_heatmap", "trace"]

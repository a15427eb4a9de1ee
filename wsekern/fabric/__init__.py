"""The wavelet fabric: routers, colors, switches. Describe routes (:class:`FabricPlan`), then move words (:class:`Fabric`)."""

from wsekern.fabric.heatmap import link_use, plot_heatmap, record_use, text_heatmap
from wsekern.fabric.plan import FabricPlan, Rules
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
from wsekern.fabric.simulation import Fabric
from wsekern.fabric.trace import trace

__all__ = ["Command", "CounterFilter", "Fabric", "FabricPlan", "Port", "Position", "RangeFilter", "Route", "Rules",
           "control_payload", "link_use", "make_route", "plot_heatmap", "record_use", "text_heatmap", "trace"]

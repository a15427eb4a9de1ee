"""The runtime, and layouts made in Python."""

from wsekern.sdk.layout import SdkCompileArtifacts, SdkLayout
from wsekern.sdk.platform import FP16TYPE, SdkTarget, SimfabConfig, get_platform, get_simulator, get_system
from wsekern.sdk.regions import (
    CodeRegion,
    Color,
    Edge,
    EdgeRouteInfo,
    IntRectangle,
    IntVector,
    PortHandle,
    Route,
    RoutingPosition,
    get_edge_routing,
)
from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime, Task

__all__ = ["FP16TYPE", "CodeRegion", "Color", "Edge", "EdgeRouteInfo", "IntRectangle", "IntVector", "MemcpyDataType",
           "MemcpyOrder", "PortHandle", "Route", "RoutingPosition", "SdkCompileArtifacts", "SdkLayout", "SdkRuntime",
           "SdkTarget", "SimfabConfig", "Task", "get_edge_routing", "get_platform", "get_simulator", "get_system"]

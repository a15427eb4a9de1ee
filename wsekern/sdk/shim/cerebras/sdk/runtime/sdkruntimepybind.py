"""The runtime."""

from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime, SdkTarget, Task

__all__ = ["MemcpyDataType", "MemcpyOrder", "SdkRuntime", "SdkTarget", "Task"]

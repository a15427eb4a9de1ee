"""Options of copies."""

from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder

__all__ = ["MemcpyDataType", "MemcpyOrder"]

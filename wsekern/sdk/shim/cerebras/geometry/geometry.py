"""Places and rectangles."""

from wsekern.sdk.regions import IntRectangle, IntVector

__all__ = ["IntRectangle", "IntVector"]

"""What a finished run left."""

from wsekern.sdk.debug import debug_util

__all__ = ["debug_util"]

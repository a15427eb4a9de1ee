"""Views of words and time stamps."""

from wsekern.sdk.utils import calculate_cycles, float_to_hex, input_array_to_u32, make_u48, memcpy_view, sub_ts

__all__ = ["calculate_cycles", "float_to_hex", "input_array_to_u32", "make_u48", "memcpy_view", "sub_ts"]

"""Port maps of older scripts."""

from wsekern.sdk.portmaps import convert_input_tensor, format_output_tensor, prepare_output_tensor

__all__ = ["convert_input_tensor", "format_output_tensor", "prepare_output_tensor"]

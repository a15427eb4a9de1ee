"""Inference on a region of a wafer: mapping a model onto PEs, executing it, and predicting its time."""

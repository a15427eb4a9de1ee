"""Inference on wafers: mapping a model onto PEs, executing it, and predicting its time."""

"""The engines that run operations: flow (values and clocks of all PEs at once) and cycle (every wavelet)."""

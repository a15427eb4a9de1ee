"""Plain reference of the PE cores: what the kernels compute, one step at a time."""

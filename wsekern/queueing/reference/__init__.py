"""The queues in plain Python with SimPy: what the kernels are held against."""

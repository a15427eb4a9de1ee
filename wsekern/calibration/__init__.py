"""Maintainers' tools that set the constants of the GPU model; the package never reads them."""

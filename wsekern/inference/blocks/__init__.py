"""The blocks of a layer, a file for each kind: its steps, its weights as tiles, what it keeps between tokens.

A block reads ``h``, the normed residual stream (tokens, hidden), and leaves ``x`` with its own output added.
"""

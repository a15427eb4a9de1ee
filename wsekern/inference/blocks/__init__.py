"""The parts of a layer, a file for each kind: its sizes, its steps, its weights as tiles, what it keeps between tokens.

:class:`wsekern.inference.blocks.part.PartOnGrid` says what a part answers, :mod:`wsekern.inference.blocks.registry` which class
belongs to which part of a description.
"""

"""Writes the generated parts of README.md and docs/: ``python -m wsekern.docs``, and with ``--check`` only compares them.

Generated parts stand between ``<!-- generated: NAME, by python -m wsekern.docs -->`` and ``<!-- end -->``; ``parts`` says
which name is made by which function, ``pages`` reads and writes the files, ``picture`` draws. Figures that vary from run to
run have no place here.
"""

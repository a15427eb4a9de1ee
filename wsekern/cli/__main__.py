"""The command line as a module: ``python -m wsekern.cli``."""

from wsekern.cli import main

main()

"""Child processes of the benchmarks import the installed package, as users do, never the uncompiled folder they happen to stand in."""

import os

os.environ["PYTHONSAFEPATH"] = "1"

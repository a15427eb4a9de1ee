"""Child processes of the benchmarks import the installed package, as users do, never the uncompiled folder beside them."""

import os

os.environ["PYTHONSAFEPATH"] = "1"

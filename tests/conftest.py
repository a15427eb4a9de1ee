"""Child processes of the tests import the installed package, as users do, never the uncompiled folder beside them."""

import os

os.environ["PYTHONSAFEPATH"] = "1"

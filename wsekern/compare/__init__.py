"""One request on wafers and on one cluster or several, side by side, with the reasons."""

from wsekern.compare.comparison import Comparison, compare
from wsekern.compare.serving import Serving
from wsekern.compare.side import SHARES, Side
from wsekern.inference.execution import Execution, execute, execute_sample

__all__ = ["SHARES", "Comparison", "Execution", "Serving", "Side", "compare", "execute", "execute_sample"]

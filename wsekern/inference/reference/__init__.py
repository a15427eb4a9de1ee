"""The plain reference: a whole decoder in some pages of numpy, float32, no wafer. Tests hold the wafer against it.

Its SiLU and exponentials are exact, or those that vector instructions give (:class:`Activations`).
"""

from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.model import ReferenceModel

__all__ = ["Activations", "ReferenceModel"]

"""Numbers of an activation that are learned, for the wafer and for the plain reference."""

from collections.abc import Mapping

import numpy as np


def xielu_numbers(weights: Mapping[str, np.ndarray]) -> tuple[float, float, float, float]:
    """(alpha above zero, alpha below, beta, eps) of xIELU: alphas are stored as what softplus makes them of; those not stored
    are those of transformers."""
    beta, eps = (float(weights[name][0]) if name in weights else usual for name, usual in (("beta", 0.5), ("eps", -1e-6)))
    positive, negative = (float(np.logaddexp(0.0, weights[name][0])) for name in ("alpha_positive", "alpha_negative"))
    return positive, beta + negative, beta, eps

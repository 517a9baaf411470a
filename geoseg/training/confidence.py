"""The confidence of polygons, fitted to polygons of ground that the network has not been trained on."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from geoseg.errors import InputError
from geoseg.values.confidence import PolygonConfidence

LEAST_OF_EACH = 20  # polygons that are a building, and that are none
RIDGE = 1.0  # pull of the weights towards zero, on features of unit spread


def fit_confidence(features: NDArray[np.float64], right: NDArray[np.bool_]) -> PolygonConfidence:
    """Fit the logistic model by penalised likelihood (le Cessie and van Houwelingen 1992).

    features: (N, 5), see ``polygon_features``; right: (N,) whether each polygon is a building. A polygon with a higher
    mean probability is never less likely to be one. Raises InputError where there are fewer than 20 of either kind.
    """
    n = min(int(right.sum()), int((~right).sum()))
    if n < LEAST_OF_EACH:
        raise InputError(f"{n} polygons of one kind; {LEAST_OF_EACH} that are a building and as many that are none fit")
    centre, spread = features.mean(0), np.maximum(features.std(0), 1e-9)
    unit = np.column_stack([np.ones(len(features)), (features - centre) / spread])
    sign = np.where(right, 1.0, -1.0)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = sign * (unit @ w)
        slope = -sign / (1 + np.exp(away))
        pulled = np.r_[0.0, w[1:]]
        return float(np.logaddexp(0, -away).sum() + RIDGE / 2 * pulled @ pulled), unit.T @ slope + RIDGE * pulled

    bounds = [(None, None), (0, None), *[(None, None)] * (features.shape[1] - 1)]
    w = minimize(loss, np.zeros(unit.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = w[1:] / spread
    return PolygonConfidence(*(round(float(v), 4) for v in (w[0] - weights @ centre, *weights)))

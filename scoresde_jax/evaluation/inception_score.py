"""The Inception Score: how sure a classifier is of each image, and how unsure of all of them.

    IS = exp E_x KL(p(y|x) || p(y)),  p(y) = E_x p(y|x)                   (Salimans et al. 2016)

It knows nothing of the data, and grows with the number of images in a split: p(y) is estimated from
the very images it is compared with, which lowers the divergence.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp


class InceptionScore(NamedTuple):
    """Mean and standard deviation over splits, as published; the latter is no standard error."""

    mean: float
    standard_deviation: float
    splits: int


def inception_score(logits: np.ndarray, *, splits: int = 10) -> InceptionScore:
    """Inception Score of (N, classes) logits, in consecutive splits of equal size.

    Published scores are of the network's 1,008 logits *without* the last layer's bias, on 50,000
    images in 10 splits. Images should be in no order of their own.

    Raises:
      ValueError: there are fewer images than splits.
    """
    count = len(logits) // splits
    if not count:
        raise ValueError(
            f"an Inception Score in {splits} splits needs as many images; got {len(logits)}."
        )
    scores = [_score(logits[i * count : (i + 1) * count]) for i in range(splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), splits)


def _score(logits: np.ndarray) -> float:
    logits = np.asarray(logits, np.float64)
    logp = logits - logsumexp(logits, axis=1, keepdims=True)
    log_marginal = logsumexp(logp, axis=0) - np.log(len(logp))
    return float(np.exp(np.mean(np.sum(np.exp(logp) * (logp - log_marginal), axis=1))))

"""Does each recording have the text that is written beside it? Found without a recogniser and without an alignment.

Which share of the time each frequency band is loud, and how long the speech lasts, are predicted from the text: ridge
regression on its symbols and most frequent pairs of symbols, relative to its length. A clip's distance is the
Mahalanobis distance of its leave-one-out residuals. A text is doubtful only if the clip is far from what its
text predicts, and other texts of like length predict it as well. A clip that is only a little odd is not doubtful.

Texts of the same symbols get the same prediction. Shapes: N clips, P predictors, K figures.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bands = npt.NDArray[np.float32]

LEAST_CLIPS = 200
MOST_UNSURE = 0.015  # share of right texts that are not among the best; with more, nothing is said
BANDS = 16
_BELOW = (0.7, 1.6, 2.5)  # from the loud frames, in natural logarithms of magnitude: 6, 14 and 22 dB
_LOUD = 90  # percentile of the frames
_FITTED = 4000  # clips; bounds the time of the fit
_PAIRS = 300
_CLIPS_OF_A_PAIR = 6  # in the fit, for each pair that is a predictor
_RARE = 5  # clips; symbols of fewer are no predictors
_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0)
_KEPT = 0.9  # share of the clips of the fit, without those that are farthest
_ROUNDS = 3
_FLOOR = 0.01  # of the median variance
_OTHERS = 100  # texts that a clip is compared with
_BEST = 0.05  # of these, among which a right text is
_NORMAL = 1.4826  # standard deviations of a normal distribution in its median absolute deviation


def bands_of(mel: npt.NDArray[np.float32]) -> Bands:
    """(frames, mels) log-mel -> (K - 1,) shares of the time in which each band is louder than each of three levels."""
    magnitude = np.exp(mel)
    parts = np.array_split(magnitude, min(BANDS, mel.shape[1]), axis=1)
    levels = np.log(np.stack([part.mean(axis=1) for part in parts], axis=1))
    loud = np.percentile(np.log(np.square(magnitude).mean(axis=1)) / 2, _LOUD)
    return np.concatenate([(levels > loud - below).mean(axis=0) for below in _BELOW]).astype(np.float32)


@dataclass(frozen=True)
class Agreement:
    """Of each clip, (N,): deviations: of the logarithm of its distance, from the median; better: the share of other
    texts of like length that fit at least as well as its own."""

    deviations: Array
    better: Array

    @property
    def columns(self) -> tuple[list[float], list[float]]:
        return self.deviations.tolist(), self.better.tolist()


def agreement(texts: Sequence[str], bands: Bands, seconds: Array) -> Agreement | None:
    """bands: (N, K - 1); seconds: (N,) of speech. None where texts do not predict the sound well enough."""
    if len(texts) < LEAST_CLIPS:
        return None
    fitted = np.random.default_rng(0).permutation(len(texts))[:_FITTED]
    lengths = np.array([max(1, len(text)) for text in texts], np.float64)
    figures = np.column_stack([bands.astype(np.float64), np.log(np.maximum(seconds, 1e-3))])
    # The spectrum of a longer clip is a mean over more symbols.
    weights = np.sqrt(lengths / np.median(lengths))
    predictors = _Predictors([texts[i] for i in fitted])
    table = predictors.of([texts[i] for i in fitted])
    fit = _fit(table, _per_symbol(figures[fitted], lengths[fitted]), weights[fitted])
    others = _Others(fit.predicted(table, lengths[fitted]) @ fit.whitening, lengths[fitted], fitted)
    distances, better = np.empty(len(texts)), np.empty(len(texts))
    distances[fitted] = fit.distances
    for clip in np.setdiff1d(np.arange(len(texts)), fitted):
        away = figures[clip] - fit.predicted(predictors.of([texts[clip]]), lengths[clip])[0]
        distances[clip] = np.linalg.norm(away @ fit.whitening) * weights[clip]
    for clip, white in enumerate(figures @ fit.whitening):
        away = np.linalg.norm(white - others.like(lengths[clip], clip), axis=1) * weights[clip]
        better[clip] = np.mean(away <= distances[clip])
    return Agreement(_deviations(distances), better) if _unsure(better) <= MOST_UNSURE else None


def _deviations(distances: Array) -> Array:
    logs = np.log(np.maximum(distances, 1e-9))
    usual = np.median(logs)
    return (logs - usual) / max(_NORMAL * float(np.median(np.abs(logs - usual))), 1e-6)  # type: ignore[no-any-return]


def _unsure(better: Array) -> float:
    """The share of right texts that are not among the best, at least.

    The ranks of wrong texts are uniform (Storey 2002): as many as are in the worse half are in the better one. Their
    number varies by chance, by its root.
    """
    worse = int(np.count_nonzero(better >= 0.5))
    wrong = 2 * (1 - _BEST) * worse
    return float(np.count_nonzero(better >= _BEST) - wrong - 2 * np.sqrt(worse)) / len(better)


def _per_symbol(figures: Array, lengths: Array) -> Array:
    """The seconds, a logarithm in the last column, for each symbol of a text."""
    return np.column_stack([figures[:, :-1], figures[:, -1] - np.log(lengths)])


class _Predictors:
    """What the figures are predicted from: shares of the symbols and of the most frequent pairs, and 1 / length."""

    def __init__(self, texts: Sequence[str]) -> None:
        symbols = Counter(symbol for text in texts for symbol in set(text))
        pairs = Counter(pair for text in texts for pair in set(map(str.__add__, text, text[1:])))
        names = [symbol for symbol, count in symbols.items() if count >= _RARE]
        names += [pair for pair, _ in pairs.most_common(min(_PAIRS, len(texts) // _CLIPS_OF_A_PAIR))]
        self._columns = {name: column for column, name in enumerate(names)}

    def of(self, texts: Sequence[str]) -> Array:
        """(N, P)"""
        table = np.zeros((len(texts), len(self._columns) + 1))
        for row, text in zip(table, texts, strict=True):
            for name in (*text, *map(str.__add__, text, text[1:])):
                column = self._columns.get(name)
                if column is not None:
                    row[column] += 1
            row[-1] = 1
            row /= max(1, len(text))
        return table


@dataclass(frozen=True)
class _Fit:
    """usual: (P,) means of the predictors; coefficients: (P, K); means: (K,); whitening: (K, K); distances: (N,)
    leave-one-out, of the clips that it was fitted to."""

    usual: Array
    coefficients: Array
    means: Array
    whitening: Array
    distances: Array

    def predicted(self, predictors: Array, lengths: Any) -> Array:
        """(N, P) -> (N, K)"""
        found: Array = (predictors - self.usual) @ self.coefficients + self.means
        found[:, -1] += np.log(lengths)
        return found


def _fit(predictors: Array, figures: Array, weights: Array) -> _Fit:
    """Several times, each time without the clips that were farthest the time before: their texts may be wrong."""
    kept = np.ones(len(figures), bool)
    for _ in range(_ROUNDS - 1):
        distances = _fit_to(predictors, figures, weights, kept).distances
        kept = distances <= np.quantile(distances, _KEPT)
    return _fit_to(predictors, figures, weights, kept)


def _fit_to(predictors: Array, figures: Array, weights: Array, kept: npt.NDArray[np.bool_]) -> _Fit:
    shares = np.square(weights[kept]) / np.square(weights[kept]).sum()
    usual, means = shares @ predictors[kept], shares @ figures[kept]
    scale = float(np.sqrt(shares @ np.square(predictors[kept] - usual)).mean()) or 1.0
    inputs = (predictors - usual) * weights[:, None] / scale
    targets = (figures - means) * weights[:, None]
    ridge = _best_ridge(inputs[kept], targets[kept])
    inverse = np.linalg.inv(inputs[kept].T @ inputs[kept] + ridge * np.eye(inputs.shape[1]))
    coefficients = inverse @ (inputs[kept].T @ targets[kept])
    leverages = np.where(kept, _capped(np.sum(inputs @ inverse * inputs, axis=1)), 0.0)
    residuals = (targets - inputs @ coefficients) / (1 - leverages)[:, None]
    whitening = _whitening(residuals[kept])
    distances = np.linalg.norm(residuals @ whitening, axis=1)
    return _Fit(usual, coefficients / scale, means, whitening, distances)


def _best_ridge(inputs: Array, targets: Array) -> float:
    """The one with the least leave-one-out error over all figures, each relative to its spread."""
    left, values, _ = np.linalg.svd(inputs, full_matrices=False)
    projected = left.T @ targets
    spread = targets.std(axis=0) + 1e-9

    def error(ridge: float) -> float:
        shrunk = np.square(values) / (np.square(values) + ridge)
        residuals = targets - left @ (shrunk[:, None] * projected)
        leverages = _capped(np.square(left) @ shrunk)
        return float(np.square(residuals / (1 - leverages)[:, None] / spread).mean())

    return min(_RIDGES, key=error)


def _capped(leverages: Array) -> Array:
    return np.minimum(leverages, 0.95)


def _whitening(residuals: Array) -> Array:
    """(K, K) that makes residuals uncorrelated and of unit variance, as far as so many clips show."""
    count, figures = residuals.shape
    covariance = np.cov(residuals.T)
    variances = np.diag(covariance)
    shrink = min(0.5, max(0.02, figures / (count + figures)))
    floor = _FLOOR * float(np.median(variances)) + 1e-12
    covariance = (1 - shrink) * covariance + np.diag(shrink * variances + floor)
    whitening: Array = np.linalg.cholesky(np.linalg.inv(covariance))
    return whitening


class _Others:
    """Predictions from other texts of like length, of the clips that were fitted. predictions: (N, K)."""

    def __init__(self, predictions: Array, lengths: Array, clips: npt.NDArray[np.int64]) -> None:
        by_length = np.argsort(lengths, kind="stable")
        self._predictions = predictions[by_length]
        self._lengths = lengths[by_length]
        self._clips = clips[by_length]

    def like(self, length: float, clip: int) -> Array:
        """(`_OTHERS`, K), without that of the clip itself."""
        at = int(np.searchsorted(self._lengths, length))
        first = max(0, min(at - _OTHERS // 2, len(self._clips) - _OTHERS - 1))
        near = slice(first, first + _OTHERS + 1)
        found: Array = self._predictions[near][self._clips[near] != clip]
        return found[:_OTHERS]

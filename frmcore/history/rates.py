"""The measures of detection, each defined once.

Counts are weighed sums: tp frauds that were stopped, fp good events that were, fn frauds that were not, tn good ones
that were not. Names and definitions: T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27
(2006); Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 4. A ratio whose
denominator is 0 is None: nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _rest(part: float | None) -> float | None:
    return None if part is None else 1 - part


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix at one threshold, and what follows from it."""

    tp: float
    fp: float
    fn: float
    tn: float

    @property
    def precision(self) -> float | None:
        """tp / (tp + fp): the part of what was stopped that is fraud."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """tp / (tp + fn), also the true positive rate: the part of fraud that was stopped."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def false_positive_rate(self) -> float | None:
        """fp / (fp + tn): the part of good events that was stopped."""
        return ratio(self.fp, self.fp + self.tn)

    @property
    def true_negative_rate(self) -> float | None:
        """tn / (fp + tn), also specificity."""
        return ratio(self.tn, self.fp + self.tn)

    @property
    def false_negative_rate(self) -> float | None:
        """fn / (tp + fn): the part of fraud that was missed."""
        return ratio(self.fn, self.tp + self.fn)

    @property
    def error(self) -> float | None:
        """(fp + fn) / all: the mean misclassification error (MME)."""
        return ratio(self.fp + self.fn, self.tp + self.fp + self.fn + self.tn)

    @property
    def balanced_error(self) -> float | None:
        """(fpr + fnr) / 2 (BER)."""
        fpr, fnr = self.false_positive_rate, self.false_negative_rate
        return None if fpr is None or fnr is None else (fpr + fnr) / 2

    @property
    def g_mean(self) -> float | None:
        """sqrt(tpr * tnr)."""
        tpr, tnr = self.recall, self.true_negative_rate
        return None if tpr is None or tnr is None else sqrt(tpr * tnr)

    @property
    def negative_precision(self) -> float | None:
        """tn / (tn + fn) (NPV): the part of what was let through that is good."""
        return ratio(self.tn, self.tn + self.fn)

    @property
    def false_discovery_rate(self) -> float | None:
        """1 - precision (FDR)."""
        return _rest(self.precision)

    @property
    def false_omission_rate(self) -> float | None:
        """1 - NPV (FOR)."""
        return _rest(self.negative_precision)

    @property
    def f1(self) -> float | None:
        """2 tp / (2 tp + fp + fn): the harmonic mean of precision and recall."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, slots=True)
class Step:
    """Of the events with exactly this score: how many are fraud, how many good."""

    score: float
    fraud: float
    good: float


def confusions(steps: Sequence[Step]) -> list[tuple[float, Confusion]]:
    """(threshold, matrix) for each score that occurs, highest first: stopped is what scores at least that. O(n log
    n)."""
    fraud, good = sum(step.fraud for step in steps), sum(step.good for step in steps)
    found = []
    tp = fp = 0.0
    for step in sorted(steps, key=lambda step: -step.score):
        tp, fp = tp + step.fraud, fp + step.good
        found.append((step.score, Confusion(tp, fp, fraud - tp, good - fp)))
    return found


def auc_roc(steps: Sequence[Step]) -> float | None:
    """The area under the ROC curve by trapezoids (Fawcett, algorithm 3), which equals the chance that a fraud scores
    higher than a good event, ties counting half. None without both classes."""
    area = x = y = 0.0
    for _, matrix in confusions(steps):
        fpr, tpr = matrix.false_positive_rate, matrix.recall
        if fpr is None or tpr is None:
            return None
        area += (fpr - x) * (tpr + y) / 2
        x, y = fpr, tpr
    return area if steps else None


def average_precision(steps: Sequence[Step]) -> float | None:
    """Sum over thresholds of (recall - recall before) * precision: the area under the precision-recall curve, by steps
    (Su, Yuan, Zhu, "A relationship between the average precision and the area under the ROC curve", 2015; as in
    scikit-learn). None without fraud."""
    total = before = 0.0
    for _, matrix in confusions(steps):
        recall, precision = matrix.recall, matrix.precision
        if recall is None:
            return None
        total += (recall - before) * (precision or 0.0)
        before = recall
    return total if steps else None


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The index of the point farthest above the chord from the first to the last, both axes scaled to 0..1 (Satopaa et
    al., "Finding a Kneedle in a haystack", 2011). None for fewer than three points or a flat curve."""
    if len(points) < 3:
        return None
    (x0, x1), (y0, y1) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    if x0 == x1 or y0 == y1:
        return None
    scaled = [((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)) for x, y in points]
    return max(range(len(points)), key=lambda i: scaled[i][1] - scaled[i][0])

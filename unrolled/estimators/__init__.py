"""Sequence models with scikit-learn's `fit`, `predict` and `score`; scikit-learn itself is optional."""

from unrolled.estimators.sequence import SequenceClassifier, SequenceRegressor

__all__ = ["SequenceClassifier", "SequenceRegressor"]

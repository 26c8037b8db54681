"""Chance: learn from the past how likely an outcome is: boosted trees and a logistic regression, averaged.

With a year of history or less the regression ranks best, with more the trees; the average was never far from the
better of the two on any day judged. The trees may only rise or fall with a feature where its direction is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

Matrix = np.ndarray[Any, np.dtype[np.float64]]

FEWEST = 200
"""Fewer examples teach nothing."""

FEWEST_OUTCOMES = 30


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt of an outcome."""

    trees: "HistGradientBoostingClassifier"
    regression: "Pipeline"

    def predict(self, features: Matrix) -> Matrix:
        """Return the chance of the outcome for each row."""
        if not len(features):
            return np.zeros(0)
        with threadpool_limits(limits=1):
            chances = [each.predict_proba(features)[:, 1] for each in (self.trees, self.regression)]
        return np.asarray(np.mean(chances, axis=0), dtype=np.float64)


def learn(features: Matrix, outcome: Matrix, rising: Sequence[int]) -> Learnt | None:
    """Learn the outcome (0 or 1). `rising`: for each feature 1, -1 or 0, as the outcome rises, falls, or does either.

    None where there is too little to learn from. The same rows teach the same, to the last digit.
    """
    # a second and 90 MB, which a command that learns nothing goes without
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import FunctionTransformer, StandardScaler  # noqa: PLC0415

    hits = int(outcome.sum())
    if len(outcome) < FEWEST or min(hits, len(outcome) - hits) < FEWEST_OUTCOMES:
        return None
    trees = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=5,
        min_samples_leaf=50,
        max_features=0.6,
        early_stopping=False,
        monotonic_cst=list(rising),
        random_state=1,
    )
    regression = make_pipeline(
        FunctionTransformer(_logarithms), StandardScaler(), LogisticRegression(C=0.05, max_iter=500)
    )
    with threadpool_limits(limits=1):  # small work: threads that wait for each other take longer
        trees.fit(features, outcome)
        regression.fit(features, outcome)
    return Learnt(trees, regression)


def matrix(columns: Mapping[str, Matrix], names: Sequence[str]) -> Matrix:
    """Return features as a matrix, a column each."""
    return np.column_stack([columns[name] for name in names])


def _logarithms(features: Matrix) -> Matrix:
    return np.asarray(np.log1p(np.maximum(np.nan_to_num(features), 0.0)), dtype=np.float64)

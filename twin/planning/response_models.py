"""The response model that is tested, and what it is measured against."""

from ml.baselines import rivals
from ml.evaluation.protocol import Model
from ml.response import Predictor, ResponseModel
from twin.planning.response_cohort import ResponseCohort

OURS, LINEAR, TREES = "response model", "its elastic net alone", "its trees alone"
CURVE_MODELS = (LINEAR, "nine-variable naive Bayes (refit)")


def our_model(offered: tuple[Predictor, ...]) -> ResponseModel:
    """The default model, without the refits and neighbours that a test of its probabilities does not need."""
    return ResponseModel(offered, refits=0, neighbours=0)


def comparators(cohort: ResponseCohort) -> dict[str, Model]:
    """What it is measured against: the rivals that the table allows, and its own members."""
    members = {
        LINEAR: ResponseModel(cohort.predictors, member="linear", refits=0, neighbours=0),
        TREES: ResponseModel(cohort.predictors, member="trees", refits=0, neighbours=0),
    }
    return members | rivals(list(cohort.implanted))

from .answers import Neighbour as Neighbour
from .answers import ResponseAnswers as ResponseAnswers
from .estimator import ResponseModel as ResponseModel
from .predictors import Predictor as Predictor

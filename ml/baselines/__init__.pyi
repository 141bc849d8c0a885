from .guideline import GuidelineClass as GuidelineClass
from .guideline import guideline_class as guideline_class
from .guideline import guidelines as guidelines
from .naive_bayes import NineVariableNaiveBayes as NineVariableNaiveBayes
from .one_column import ExternalScore as ExternalScore
from .one_column import OneColumn as OneColumn
from .rivals import rivals as rivals

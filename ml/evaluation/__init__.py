"""One place where models are compared: folds of patients, metrics with intervals, published numbers beside ours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

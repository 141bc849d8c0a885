"""What a response model has to beat: known rules and single measurements, as scikit-learn classifiers on the same table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Will this patient respond to this site? One estimator with probability, interval, reasons and abstention."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

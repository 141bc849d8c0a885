"""Recordings of the 12-lead ECG: readers, beats, QRS bounds. Loads neither torch nor scikit-learn."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

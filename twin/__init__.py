"""The electrophysiology of one heart: how it conducts, when each place activates, what the ECG shows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

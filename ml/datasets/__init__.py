"""Many ECGs or slices of scar with what is known of each: a plain table of files, and the public collections.

Nothing is downloaded: the user points at a table or a folder.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

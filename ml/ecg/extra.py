"""Packages that only some file formats need: they belong to the extra [formats] and are imported when such a file is read."""

from importlib import import_module
from types import ModuleType


def formats_module(name: str, files: str) -> ModuleType:
    """A package of the extra [formats]; `files` says what it is needed for.

    Raises:
        ModuleNotFoundError: naming the extra to install, if the package is not there.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{files} need {error.name}, which is not installed: pip install 'crt-twin[formats]'", name=error.name
        ) from None

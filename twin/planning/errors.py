"""The two ways in which what a user gives can be wrong; the command line gives each its exit code."""


class InputError(ValueError):
    """An input that cannot be used: file, fault and cure in one line."""


class SettingsError(ValueError):
    """Settings that cannot be used; one line per fault."""

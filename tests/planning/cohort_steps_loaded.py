"""The step of `cohort_steps`, with all that a real patient needs loaded before the clock of the first one runs."""

import twin.planning.cohort_step  # noqa: F401
from tests.planning.cohort_steps import step

__all__ = ["step"]

"""Random changes of an ECG that leave its diagnosis alone, for pretraining on pairs of views.

In this order: all leads of an ECG are made larger or smaller by one factor; shifted in time together, first and last
sample held; electrode noise and baseline wander are added; single leads are lost (0 mV throughout). Noise and wander are
drawn for I, II and V1 to V6 and derived for the other limb leads, so that Einthoven's and Goldberger's laws still hold.
Nothing is stretched in time: that would change the QRS duration.

Mori et al. [doi:10.1111/jce.70212] publish no augmentation: which there are, and their sizes, is our choice.

Units: mV, ms, Hz. Needs the extra [deep].
"""

from dataclasses import dataclass
from math import pi

import numpy as np
import torch
from torch import Tensor

from ml.ecg.recording import CHEST_LEADS, MIN_RATE_HZ, STANDARD_LEADS, Ecg

_EIGHT = ("I", "II", *CHEST_LEADS)
# (12, 8) the standard leads from the independent ones.
_FROM_EIGHT = torch.from_numpy(
    Ecg(leads=_EIGHT, signal_mv=np.eye(8), rate_hz=MIN_RATE_HZ).twelve_leads().signal_mv.astype(np.float32)
)
# What breathing and moving electrodes do is slower than the heart beats.
_WANDER_HZ = (0.05, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far ECGs are changed; every draw is uniform from nothing to these sizes, in both directions where there are two.

    Draws come from torch's own generator: within `ml.training.seeded`, the same seed gives the same bytes.

    Attributes:
        sampling_hz: of the signals.
        amplitude: the factor is drawn from 1 - amplitude to 1 + amplitude; below 1.
        shift_ms: at most so far, earlier or later.
        noise_mv: largest standard deviation of white noise.
        wander_mv: largest amplitude of a sine of 0.05 to 0.5 Hz.
        lead_dropout: probability that a lead is lost; below 1.
    """

    sampling_hz: float
    amplitude: float = 0.2
    shift_ms: float = 50.0
    noise_mv: float = 0.02
    wander_mv: float = 0.1
    lead_dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.sampling_hz < np.inf:
            raise ValueError(f"sampling_hz is {self.sampling_hz}, need more than 0")
        for name, end in (
            ("amplitude", 1),
            ("lead_dropout", 1),
            ("shift_ms", np.inf),
            ("noise_mv", np.inf),
            ("wander_mv", np.inf),
        ):
            if not 0 <= getattr(self, name) < end:
                raise ValueError(f"{name} is {getattr(self, name)}, need 0 or more, and less than {end}")

    def __call__(self, signals: Tensor) -> Tensor:
        """(n, 12, samples) mV in the order of `STANDARD_LEADS` to the same shape, a new tensor.

        Raises:
            ValueError: if the shape is another.
        """
        if signals.ndim != 3 or signals.shape[1] != len(STANDARD_LEADS):
            raise ValueError(
                f"signals have shape {tuple(signals.shape)}, need (n, {len(STANDARD_LEADS)} leads, samples)"
            )
        n, leads, samples = signals.shape
        # Drawn on the CPU wherever the signals are, so that a seed means the same on every machine.
        factor = 1 + self.amplitude * _either_way(n, 1, 1)
        shift = (self.shift_ms * self.sampling_hz / 1000 * _either_way(n)).round().long()
        added = self._disturbances(n, samples)
        kept = torch.rand(n, leads, 1) >= self.lead_dropout
        where = signals.device
        changed = shifted(signals * factor.to(where), shift.to(where)) + (_FROM_EIGHT @ added).to(where)
        return changed * kept.to(where)

    def _disturbances(self, n: int, samples: int) -> Tensor:
        """(n, 8, samples) mV noise and wander of the independent leads."""
        shape = (n, len(_EIGHT), 1)
        noise = self.noise_mv * torch.rand(shape) * torch.randn(n, len(_EIGHT), samples)
        slow, fast = _WANDER_HZ
        cycles = (slow + (fast - slow) * torch.rand(shape)) * torch.arange(samples) / self.sampling_hz
        return noise + self.wander_mv * torch.rand(shape) * torch.sin(2 * pi * (cycles + torch.rand(shape)))


def shifted(signals: Tensor, by: Tensor) -> Tensor:
    """Each ECG later by a whole number of samples (earlier if negative), its first or last sample held.

    Args:
        signals: (n, leads, samples).
        by: (n,) integers.

    Returns:
        (n, leads, samples).
    """
    samples = signals.shape[2]
    source = (torch.arange(samples, device=signals.device) - by[:, None]).clamp(0, samples - 1)
    return signals.gather(2, source[:, None].expand_as(signals))


def _either_way(*shape: int) -> Tensor:
    """Uniform in -1 to 1."""
    return 2 * torch.rand(shape) - 1

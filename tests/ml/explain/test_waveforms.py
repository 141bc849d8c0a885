"""Highest and lowest answers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.beat_windows import beat_windows
from ml.explain.waveforms import (
    LE_CARDIOMYOPATHY_LEADS,
    LE_RESPONSE_LEADS,
    Waves,
    draw_extremes,
    extremes,
    shown_part,
)
from tests.ml.heartbeats import RATE_HZ, beats, recordings


@given(st.lists(st.integers(0, 5), min_size=2, max_size=12))
def test_no_row_between_is_higher_than_the_highest_or_lower_than_the_lowest(answers: list[int]) -> None:
    high, low = extremes(answers)
    assert len(high) == len(low) == min(3, len(answers) // 2)
    assert not set(high) & set(low)
    rest = [answers[i] for i in range(len(answers)) if i not in high + low]
    assert [answers[i] for i in high] == sorted(answers, reverse=True)[: len(high)]
    assert [answers[i] for i in low] == sorted(answers)[: len(low)]
    assert all(min(answers[i] for i in high) >= other >= max(answers[i] for i in low) for other in rest)


def test_the_leads_of_le_are_those_numbered_from_one() -> None:
    assert LE_RESPONSE_LEADS == ("I", "aVR", "aVL")
    assert LE_CARDIOMYOPATHY_LEADS == ("I", "V1", "V6")


def test_beats_are_shown_whole_and_recordings_by_their_qrs() -> None:
    one, many = (make(2)[0].astype(np.float32) for make in (beats, recordings))
    np.testing.assert_array_equal(shown_part(one, RATE_HZ).signal_mv, one)
    assert shown_part(one, RATE_HZ).at[-1] == (one.shape[2] - 1) * 1000 / RATE_HZ
    np.testing.assert_array_equal(shown_part(many, RATE_HZ).signal_mv, beat_windows(many, RATE_HZ, "qrs"))


@pytest.mark.parametrize("leads", [LE_RESPONSE_LEADS, LE_CARDIOMYOPATHY_LEADS])
def test_the_picture_shows_the_leads_asked_for_and_no_row_between(tmp_path: Path, leads: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(8, 12, 20)).astype(np.float32)

    def drawn(changed: np.ndarray) -> bytes:
        waves = Waves(signal_mv=changed, at=np.arange(20.0), unit="ms")
        draw_extremes(waves, np.arange(8) / 8, [str(i) for i in range(8)], tmp_path / "p.png", leads=leads)
        return Image.open(tmp_path / "p.png").tobytes()

    first = drawn(signals)
    other = signals.copy()
    other[3:5] = 0  # rows between
    other[:, [1, 2, 5, 7, 8]] = 0  # leads that Le does not show
    assert drawn(other) == first
    other[7, 0] = 0
    assert drawn(other) != first


def test_names_are_written_as_they_are(tmp_path: Path) -> None:
    waves = Waves(signal_mv=np.ones((2, 12, 5), dtype=np.float32), at=np.arange(5.0), unit="ms")
    drawn = []
    for names in (["_a", "$x_1$"], ["b", "$x_1$"], ["_a", "x1"]):
        draw_extremes(waves, np.arange(2.0), names, tmp_path / "p.png", leads=("I",))
        drawn.append((tmp_path / "p.png").read_bytes())
    assert len(set(drawn)) == 3

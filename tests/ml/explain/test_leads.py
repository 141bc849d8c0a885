"""Which leads a map highlights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.ecg.recording import LIMB_LEADS, STANDARD_LEADS
from ml.explain.leads import count_highlighted, highlighted, lead_shares, limb_share
from ml.page_image import MODEL_ROWS, model_image


@pytest.mark.parametrize("size", [64, 99, 224])
@pytest.mark.parametrize("lead", STANDARD_LEADS)
def test_the_ink_of_one_lead_counts_for_its_group(lead: str, size: int) -> None:
    # The drawing itself as the map: all leads at 0 mV are the same ink, so that what one lead adds is its own.
    signals = np.zeros((1, 12, 500))
    blank = model_image(signals, 50.0, size=size).astype(float)
    signals[0, STANDARD_LEADS.index(lead), 40:-40] = 2.0
    row = next(row for row in MODEL_ROWS if lead in row)
    column = row.index(lead)
    added = np.clip(model_image(signals, 50.0, size=size) - blank, 0, None)
    inside = slice(column * size // 4 + 2, (column + 1) * size // 4 - 2)
    own = np.zeros_like(added)
    own[..., inside] = added[..., inside]
    assert own.sum() > 0
    assert limb_share(own)[0] == (1.0 if lead in LIMB_LEADS else 0.0)


def test_even_heat_is_half_and_half_on_the_page_and_on_the_leads() -> None:
    np.testing.assert_allclose(limb_share(np.ones((1, 1, 101, 102))), 0.5)
    np.testing.assert_allclose(limb_share(np.ones((1, 24, 7))), 0.5)
    np.testing.assert_allclose(lead_shares(np.ones((1, 12, 7))), 1 / 12)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-6, 1e6))
def test_shares_are_those_of_the_sums_whatever_the_unit(seed: int, scale: float) -> None:
    heat = np.random.default_rng(seed).random((2, 24, 5))
    shares = lead_shares(scale * heat)
    for lead in range(12):
        both = heat[:, lead].sum(axis=1) + heat[:, lead + 12].sum(axis=1)
        np.testing.assert_allclose(shares[:, lead], both / heat.sum(axis=(1, 2)))
    np.testing.assert_allclose(limb_share(heat), shares[:, :6].sum(axis=1))


def test_a_group_counts_alone_from_twice_the_heat_of_the_other() -> None:
    assert [highlighted(share) for share in (0, 0.33, 0.34, 0.66, 0.67, 1)] == [
        "precordial", "precordial", "both", "both", "limb", "limb",
    ]  # fmt: skip


def test_maps_without_heat_count_as_none_and_every_map_counts_once() -> None:
    maps = np.zeros((4, 12, 3))
    maps[1, 2] = maps[2, 7] = maps[3] = 1
    assert count_highlighted(limb_share(maps).tolist()) == {"precordial": 1, "limb": 1, "both": 1, "none": 1}
    assert np.isnan(limb_share(np.zeros((1, 1, 8, 8)))[0])


@pytest.mark.parametrize(
    "maps", [np.ones((1, 8, 3)), -np.ones((1, 12, 3)), np.ones((12, 3)), np.full((1, 1, 4, 4), np.nan)]
)
def test_what_is_no_heat_of_twelve_leads_is_refused(maps: np.ndarray) -> None:
    with pytest.raises(ValueError, match="maps"):
        limb_share(maps)

import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from anatomy.vein_template import TRIBUTARIES, Tributary
from twin.planning.virtual_draws import CENTRES, POPULATION, SHIFTED, Drawn, Population, drawn_patient
from twin.rhythm import RHYTHMS

N = 1500


@pytest.fixture(scope="module")
def many() -> list[Drawn]:
    rng = np.random.default_rng(0)
    return [drawn_patient(rng) for _ in range(N)]


def share_is(found: float | np.floating[Any], expected: float) -> bool:
    return bool(abs(found - expected) <= 3.5 * np.sqrt(expected * (1 - expected) / N) + 1e-12)


def test_qrs_duration_is_that_of_the_cohort_it_is_taken_from(many: list[Drawn]) -> None:
    qrs = np.array([one.qrs_ms for one in many])
    assert qrs.mean() == pytest.approx(155, abs=3.5 * 24 / np.sqrt(N))
    assert qrs.std() == pytest.approx(24, abs=1.5)


def test_lvef_with_its_error_is_that_of_the_cohort_it_is_taken_from(many: list[Drawn]) -> None:
    lvef = np.array([one.lvef_percent for one in many])
    lvef = lvef + np.random.default_rng(1).normal(0, POPULATION.lvef_error_percent, N)
    assert lvef.mean() == pytest.approx(25, abs=3.5 * 7 / np.sqrt(N))
    assert lvef.std() == pytest.approx(7, abs=0.5)


def test_71_percent_have_left_bundle_branch_block(many: list[Drawn]) -> None:
    assert share_is(np.mean([one.rhythm == "lbbb" for one in many]), 0.71)


@pytest.mark.parametrize("vein", TRIBUTARIES, ids=lambda vein: vein.name)
def test_each_vein_is_as_frequent_as_published(many: list[Drawn], vein: Tributary) -> None:
    found = np.mean([any(one.name == vein.name for one in patient.tributaries) for patient in many])
    assert share_is(found, vein.prevalence)


def test_volumes_are_those_drawn_whatever_the_shape(many: list[Drawn]) -> None:
    for female, median in zip((True, False), POPULATION.lvedv_ml, strict=True):
        volumes = np.log([one.phantom.lv_cavity_ml / median for one in many if one.female == female])
        assert np.median(volumes) == pytest.approx(0, abs=4 * POPULATION.lvedv_log_sd / np.sqrt(len(volumes)))
        assert volumes.std() == pytest.approx(POPULATION.lvedv_log_sd, abs=0.03)


def test_only_the_ischaemic_have_infarcts_and_only_the_others_midwall_stripes(many: list[Drawn]) -> None:
    for one in many:
        assert all((scar.depth[0] == 0) == one.ischaemic for scar in one.scars)
    assert share_is(np.mean([bool(one.scars) for one in many if one.ischaemic]), POPULATION.infarct_share)


def test_other_delay_leaves_one_fascicle_of_the_left_bundle(many: list[Drawn]) -> None:
    other = next(one for one in many if one.rhythm == "other")
    assert len(other.starts) == len(RHYTHMS["lbbb"].starts) + 1


@pytest.mark.parametrize("name", CENTRES)
def test_a_centre_shifts_what_it_says_by_what_it_says(name: str) -> None:
    rng, centre = np.random.default_rng(3), CENTRES[name]
    drawn = [drawn_patient(rng, name) for _ in range(400)]
    assert {one.centre.name for one in drawn} == {name}
    ischaemic = np.mean([one.ischaemic for one in drawn])
    assert abs(ischaemic - POPULATION.ischaemic_share - centre.ischaemic_shift) < 3.5 * 0.5 / 20
    lbbb = [one.qrs_ms for one in drawn if one.rhythm == "lbbb"]
    assert np.mean(lbbb) == pytest.approx(
        POPULATION.lbbb_qrs_ms + centre.qrs_shift_ms, abs=3.5 * 24 / np.sqrt(len(lbbb))
    )


def test_the_centres_shifts_cancel_so_that_the_whole_is_as_published() -> None:
    for name in ("ischaemic_shift", "lbbb_shift", "qrs_shift_ms"):
        assert sum(getattr(centre, name) for centre in CENTRES.values()) == pytest.approx(0)


def test_at_a_shifted_centre_only_what_it_names_is_wrong() -> None:
    usual = drawn_patient(np.random.default_rng(5), "A")
    for name, centre in SHIFTED.items():
        drawn = drawn_patient(np.random.default_rng(5), name)
        assert drawn.phantom.lv_cavity_ml == pytest.approx(centre.volume * usual.phantom.lv_cavity_ml, rel=0.02)
        assert (drawn.qrs_ms, drawn.rhythm, drawn.tributaries) == (usual.qrs_ms, usual.rhythm, usual.tributaries)


def test_the_same_state_draws_the_same_patient() -> None:
    a, b, c = (drawn_patient(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (a.phantom, a.qrs_ms, a.tributaries, a.starts) == (b.phantom, b.qrs_ms, b.tributaries, b.starts)
    assert a.phantom != c.phantom


def test_every_distribution_names_a_source_or_says_that_it_is_our_choice() -> None:
    text = (Population.__doc__ or "").split("Attributes:")[1]
    entries = re.split(r"\n        (?=\w[\w, ]*:)", text)
    named = {name.strip() for entry in entries for name in entry.split(":")[0].split(",")}
    assert {field.name for field in fields(Population)} <= named
    for entry in entries[1:]:
        assert re.search(r"[Oo]ur choice|\[|doi|CT of|by rhythm", entry), entry

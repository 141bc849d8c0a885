"""Laws of a plan, on a virtual patient and on the small heart, each planned once."""

import json
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv

from anatomy.formats import read_heart_file
from anatomy.heart import tet_volumes_mm3
from ml.ecg.readers import read_ecg, write_csv
from ml.ecg.recording import Ecg
from tests.planning.conftest import FAST
from twin.planning.errors import InputError
from twin.planning.features import FEATURES
from twin.planning.plan import plan_patient
from twin.planning.plan_files import FILES, TABLE_FILES

# What design.md promises to those who script against a plan.
TOP_KEYS = (
    "patient", "intended_use", "answer", "sites", "intrinsic", "fit", "stand_ins", "warnings",
)  # fmt: skip
SITE_KEYS = (
    "id", "rank", "vein", "aha_segment", "position_mm", "rv_site", "vv_delay_ms", "reachable", "reasons",
    "response_probability", "interval", "qrs_ms", "tat_ms", "lvat95_ms", "q_lv_ms", "scar_at_tip", "gain_over_lateral_ms",
)  # fmt: skip
INTRINSIC_KEYS = ("qrs_ms", "tat_ms", "lvat95_ms")
FIT_KEYS = ("correlation", "qrs_error_ms", "hypotheses")

LATERAL, SEPTAL = (5, 6, 11, 12, 16), (2, 3, 8, 9, 14)


@pytest.fixture(params=["virtual_plan", "small_plan", "scarred_plan"])
def any_plan(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_plan_json_holds_every_key_of_the_design(any_plan: Any) -> None:
    content = any_plan.content
    assert set(TOP_KEYS) <= set(content)
    assert set(INTRINSIC_KEYS) <= set(content["intrinsic"])
    assert set(FIT_KEYS) <= set(content["fit"])
    assert content["sites"]
    for site in content["sites"]:
        assert set(SITE_KEYS) <= set(site)
    assert content["intended_use"] == "research"
    assert content["answer"] == "sites"


def test_json_files_are_strict(any_plan: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for name in ("plan.json", "provenance.json"):
        json.loads((any_plan.out / name).read_text(), parse_constant=refuse)


def test_a_plan_is_these_files_and_nothing_else(any_plan: Any) -> None:
    assert sorted(path.name for path in any_plan.out.iterdir()) == sorted(FILES)
    assert not list(any_plan.out.parent.glob(f".{any_plan.out.name}.*"))


def test_ranks_follow_the_rule(any_plan: Any) -> None:
    tie_ms = any_plan.content["index"]["tie_zone_ms"]
    ranked = [site for site in any_plan.content["sites"] if site["rank"] is not None]
    for site in ranked:
        assert site["rank"] == 1 + sum(other["index_ms"] < site["index_ms"] - tie_ms for other in ranked)


def test_sites_that_a_lead_may_reach_and_that_capture_are_ranked_and_no_others(any_plan: Any) -> None:
    for site in any_plan.content["sites"]:
        assert (site["rank"] is not None) == (site["captures"] and site["reachable"] is not False)
        assert bool(site["reasons"]) == (not site["captures"] or site["reachable"] is False)


def test_the_table_agrees_with_plan_json(any_plan: Any) -> None:
    assert [*any_plan.rows[0]] == [feature.name for feature in FEATURES]
    assert [row["id"].removeprefix("'") for row in any_plan.rows] == [site["id"] for site in any_plan.content["sites"]]
    for row, site in zip(any_plan.rows, any_plan.content["sites"], strict=True):
        place = dict(zip(("x_mm", "y_mm", "z_mm"), site["position_mm"], strict=True))
        for feature in FEATURES:
            value = (site | place).get(feature.name)
            if isinstance(value, bool):
                assert row[feature.name] == str(value).lower()
            elif isinstance(value, int | float):
                assert float(row[feature.name]) == pytest.approx(value, rel=1e-4, abs=1e-3)
            elif value is None and feature.name in site:
                assert row[feature.name] == ""


def test_the_best_site_shortens_total_activation(any_plan: Any) -> None:
    best = any_plan.content["sites"][0]
    assert best["rank"] == 1
    assert best["tat_ms"] < any_plan.content["intrinsic"]["tat_ms"]
    assert best["delta_tat_ms"] < 0


def test_the_gain_is_the_index_of_the_lateral_reference_minus_that_of_the_site(any_plan: Any) -> None:
    lateral = any_plan.content["lateral_reference"]
    assert lateral["gain_over_lateral_ms"] == 0
    for site in any_plan.content["sites"]:
        if site["captures"]:
            assert site["gain_over_lateral_ms"] == pytest.approx(lateral["index_ms"] - site["index_ms"], abs=1e-3)


def test_the_mean_index_lies_in_its_range_over_the_twins(any_plan: Any) -> None:
    for site in any_plan.content["sites"]:
        if site["captures"]:
            low, high = site["index_range_ms"]
            assert low <= site["index_ms"] <= high


def test_what_pacing_changes_is_paced_minus_own(any_plan: Any) -> None:
    for site in any_plan.content["sites"]:
        for name in ("qrs_ms", "tat_ms", "lvat95_ms"):
            assert site[f"own_{name}"] == pytest.approx(any_plan.content["intrinsic"][name], abs=1e-3)
            if site["captures"]:
                assert site[f"delta_{name}"] == pytest.approx(site[name] - site[f"own_{name}"], abs=2e-3)
        if site["captures"]:
            low, high = site["index_range_ms"]
            assert site["index_spread_ms"] == pytest.approx(high - low, abs=2e-3)


def test_the_latest_zone_lies_where_the_site_that_is_nearest_to_it_activates_late(any_plan: Any) -> None:
    sites = [site for site in any_plan.content["sites"] if site["captures"]]
    near, far = (pick(sites, key=lambda site: site["late_distance_mm"]) for pick in (min, max))
    assert near["q_lv_ms"] > far["q_lv_ms"] + 20
    assert far["late_distance_mm"] > near["late_distance_mm"] + 20


def test_every_site_has_every_predictor_that_its_inputs_give(any_plan: Any) -> None:
    given = set(any_plan.content["clinical"])
    has_ecg = any_plan.content["fit"]["recorded_qrs_ms"] is not None
    for site in any_plan.content["sites"]:
        for feature in FEATURES:
            if not feature.predictor or feature.name == "scar_distance_mm":
                continue
            known = site["captures"] or feature.name in ("late_distance_mm", "rv_lv_distance_mm")
            of_patient = feature.family == "twin" or feature.name.startswith(("own_", "scar_", "border_"))
            if feature.family == "clinical":
                assert (site[feature.name] is not None) == (feature.name in given)
            elif (
                feature.name.startswith("ecg_")
                or feature.name in ("net_own", "net_both")
                or "embedding" in feature.name
            ):
                assert (site[feature.name] is not None) == (has_ecg and (known or feature.name.startswith("ecg_")))
            elif known or of_patient or feature.family == "place":
                assert site[feature.name] is not None, feature.name


def test_no_response_is_predicted_and_the_plan_says_so(any_plan: Any) -> None:
    assert all(site["response_probability"] is None and site["interval"] is None for site in any_plan.content["sites"])
    assert any("response_probability" in line for line in any_plan.content["warnings"])


def test_the_heart_reads_back_with_its_activations(any_plan: Any) -> None:
    file = read_heart_file(any_plan.out / "heart.vtu")
    intrinsic, best = (file.point_arrays[f"activation_{name}_ms"] for name in ("intrinsic", "best"))
    living = np.zeros(len(file.nodes_mm), dtype=bool)
    assert file.tissue is not None
    living[file.tets[file.tissue != 2]] = True
    for times in (intrinsic, best):
        np.testing.assert_array_equal(np.isfinite(times), living)
        assert times.min() >= 0


def test_the_left_free_wall_is_last_in_left_bundle_branch_block(any_plan: Any) -> None:
    assert any_plan.content["intrinsic"]["rhythm"] == "lbbb"
    grid = pv.read(any_plan.out / "heart.vtu")
    times, aha = (np.asarray(grid.point_data[name]) for name in ("activation_intrinsic_ms", "aha"))
    reached = np.isfinite(times)
    lateral, septal = (times[reached & np.isin(aha, segments)].mean() for segments in (LATERAL, SEPTAL))
    assert lateral > septal + 20
    left = reached & (aha > 0)
    assert aha[left][times[left].argmax()] not in SEPTAL


def test_no_file_tells_where_it_was_made(any_plan: Any) -> None:
    folder = any_plan.folder.resolve()
    for name in FILES:
        data = (any_plan.out / name).read_bytes()
        for secret in (folder, folder.parent, Path.home() / "x"):
            assert str(secret).encode() not in data
        if name != "heart.vtu":
            text = data.decode()
            assert not re.search(r"(?<![\w/])/(tmp|home|root|var|Users)/", text)
            assert not re.search(rf"\b{re.escape(platform.node() or 'no-name-at-all')}\b", text)


def test_inputs_are_named_with_their_hashes(any_plan: Any) -> None:
    provenance = json.loads((any_plan.out / "provenance.json").read_text())
    listed = {item["file"]: item["sha256"] for item in any_plan.content["inputs"]}
    assert listed == provenance["inputs"]
    assert set(listed) == {path.name for path in any_plan.folder.iterdir()}
    assert provenance["settings"]["edge_mm"] == 3.0
    assert len(set(provenance["stages"].values())) == 3


# The virtual patient.


def test_a_virtual_patient_says_so_in_the_plan_and_in_the_report(virtual_plan: Any) -> None:
    assert virtual_plan.content["virtual"] is True
    assert virtual_plan.content["stand_ins"][0].startswith("virtual patient")
    assert "virtual patient" in (virtual_plan.out / "report.html").read_text()


def test_every_hypothesis_kept_reaches_the_recorded_qrs_within_the_tolerance(virtual_plan: Any) -> None:
    fit = virtual_plan.content["fit"]
    kept = [twin for twin in fit["hypotheses"] if twin["kept"]]
    assert kept
    for twin in kept:
        assert abs(twin["qrs_error_ms"]) <= 5
        assert twin["qrs_ms"] - fit["recorded_qrs_ms"] == pytest.approx(twin["qrs_error_ms"], abs=1e-3)
        assert 0.35 <= twin["fibre_m_per_s"] <= 1.0
        assert -1 <= twin["correlation"] <= 1


def test_veins_of_the_patient_are_no_stand_in_and_electrodes_by_rule_are(virtual_plan: Any) -> None:
    lines = " ".join(virtual_plan.content["stand_ins"])
    assert "template" not in lines
    assert "electrodes placed by rule" in lines
    assert "fibres by rule" in lines


def test_candidates_come_from_veins_of_both_kinds(virtual_plan: Any) -> None:
    assert {site["source"] for site in virtual_plan.content["sites"]} == {"vein"}
    assert len({site["vein"] for site in virtual_plan.content["sites"]}) >= 2


# The small heart.


def test_without_an_ecg_the_plan_says_what_it_assumes(small_plan: Any) -> None:
    assert any(line.startswith("no ECG: left bundle branch block") for line in small_plan.content["warnings"])
    assert small_plan.content["fit"]["correlation"] is None
    assert small_plan.content["fit"]["recorded_qrs_ms"] is None
    assert all(twin["kept"] for twin in small_plan.content["fit"]["hypotheses"])
    lines = " ".join(small_plan.content["stand_ins"])
    assert "template" in lines
    assert "electrodes placed by rule" in lines
    assert "fibres" not in lines


def test_the_same_patient_and_settings_give_the_same_bytes(small_plan: Any, tmp_path: Path, plan: Any) -> None:
    again = plan(small_plan.folder, tmp_path / "plan")
    for name in ("plan.json", "sites.csv", "heart.vtu"):
        assert (again.out / name).read_bytes() == (small_plan.out / name).read_bytes()


def test_more_delays_to_choose_from_make_no_site_worse(small_plan: Any, tmp_path: Path, plan: Any) -> None:
    single = plan(small_plan.folder, tmp_path / "plan", {"vv_delays_ms": [0.0]})
    for site in single.content["sites"]:
        if site["captures"]:
            assert site["vv_delay_ms"] == 0
            assert small_plan.site(site["id"])["index_ms"] <= site["index_ms"] + 1e-3


def test_veins_too_narrow_for_the_lead_are_an_answer_with_reasons_and_an_alternative(
    small_plan: Any, tmp_path: Path, plan: Any
) -> None:
    content = plan(small_plan.folder, tmp_path / "plan", {"lead": {"lead_diameter_mm": 9}}).content
    assert content["answer"] == "no reachable site"
    assert content["sites"]
    for site in content["sites"]:
        assert site["rank"] is None
        assert site["reachable"] is False
        assert any("narrows to" in reason for reason in site["reasons"])
    (alternative,) = content["alternatives"]
    assert alternative["name"] == "left bundle branch area pacing"
    assert 0 < alternative["lvat95_ms"] < content["intrinsic"]["lvat95_ms"]
    report = (tmp_path / "plan" / "report.html").read_text()
    assert "No reachable site" in report
    assert "narrows to" in report


# The small heart with a scar through the wall, own sites and an implanted lead.


def test_a_site_in_scar_core_does_not_capture_and_takes_no_rank(scarred_plan: Any) -> None:
    site = scarred_plan.site("in-scar")
    assert site["captures"] is False
    assert site["rank"] is None
    assert site["tat_ms"] is None
    assert site["scar_at_tip"] == 1
    assert "in scar core: does not capture" in site["reasons"]


def test_scar_is_measured_as_a_share_of_the_left_ventricle_and_from_each_site(
    scarred_plan: Any, small_plan: Any
) -> None:
    inside, beside = scarred_plan.site("in-scar"), scarred_plan.site("=beside")
    assert inside["scar_distance_mm"] == 0
    assert 0 < beside["scar_distance_mm"] < np.linalg.norm(np.subtract(inside["position_mm"], beside["position_mm"]))
    file = read_heart_file(scarred_plan.out / "heart.vtu")
    assert file.tissue is not None
    volumes = tet_volumes_mm3(file.nodes_mm, file.tets)
    left = (file.point_arrays["transventricular"][file.tets] < 0.5).mean(axis=1) > 0.5
    share = volumes[left & (file.tissue == 2)].sum() / volumes[left].sum()
    for site in scarred_plan.content["sites"]:
        assert site["scar_share"] == pytest.approx(share, abs=1e-4)
    assert 0 < share < 0.3
    without = small_plan.content["sites"][0]
    assert (without["scar_share"] == 0) == (without["scar_distance_mm"] is None)


def test_own_sites_and_the_implanted_lead_are_candidates(scarred_plan: Any) -> None:
    own, lead = scarred_plan.site("=beside"), scarred_plan.site("implanted")
    assert (own["source"], own["reachable"]) == ("user", None)
    assert (lead["source"], lead["reachable"]) == ("implanted", True)
    assert own["rank"] is not None
    assert lead["rank"] is not None
    assert own["aha_segment"] == 10
    assert np.linalg.norm(np.subtract(own["position_mm"], lead["position_mm"])) == pytest.approx(np.sqrt(12), abs=1e-3)


def test_names_given_by_users_are_shown_and_not_run(scarred_plan: Any) -> None:
    report = (scarred_plan.out / "report.html").read_text()
    assert "<b>scarred</b>" not in report
    assert "&lt;b&gt;scarred&lt;/b&gt;" in report
    assert "'=beside" in [row["id"] for row in scarred_plan.rows]


# Writing.


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fault", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_while_writing_leaves_the_earlier_plan_and_nothing_else(
    small_plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    shutil.copytree(small_plan.out, tmp_path / "plan")
    before = contents(tmp_path / "plan")

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr("twin.planning.plan_files.write_features", fail)
    with pytest.raises(type(fault)):
        plan_patient(small_plan.folder, tmp_path / "plan", [("test", {"pictures": False, "tie_zone_ms": 9.0})])
    assert contents(tmp_path / "plan") == before
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_an_earlier_plan_is_replaced_and_other_files_stay(small_plan: Any, tmp_path: Path, plan: Any) -> None:
    shutil.copytree(small_plan.out, tmp_path / "plan")
    (tmp_path / "plan" / "my notes.txt").write_text("keep")
    after = plan(small_plan.folder, tmp_path / "plan", {"tie_zone_ms": 9.0})
    assert after.content["index"]["tie_zone_ms"] == 9.0
    assert sorted(contents(tmp_path / "plan")) == sorted([*FILES, "my notes.txt"])


def test_a_table_plan_is_the_same_without_drawings_and_replaces_a_full_one(
    small_plan: Any, tmp_path: Path, plan: Any
) -> None:
    shutil.copytree(small_plan.out, tmp_path / "plan")
    after = plan(small_plan.folder, tmp_path / "plan", {"outputs": "table"})
    assert sorted(contents(after.out)) == sorted(TABLE_FILES)
    for name in ("plan.json", "sites.csv"):
        assert contents(after.out)[name] == contents(small_plan.out)[name]


def test_clinical_values_that_cannot_be_are_refused_all_at_once(small_folder: Path, tmp_path: Path) -> None:
    clinical = "{age_years: 150, lvedd_mm: wide, aetiology: ischemic, af: 2}"
    (small_folder / "patient.yaml").write_text(f"clinical: {clinical}\n")
    with pytest.raises(InputError) as fault:
        plan_patient(small_folder, tmp_path / "plan")
    for name in ("age_years", "lvedd_mm", "aetiology", "af"):
        assert f"clinical.{name}" in str(fault.value)


def test_clinical_data_are_carried_through(small_folder: Path, tmp_path: Path, plan: Callable[..., Any]) -> None:
    (small_folder / "patient.yaml").write_text("clinical: {sex: female, nyha: 3, af: true, implanted_on: 2024-01-02}\n")
    content = plan(small_folder, tmp_path / "plan").content
    assert content["clinical"] == {"sex": "female", "nyha": 3, "af": True, "implanted_on": "2024-01-02"}


@pytest.mark.parametrize(
    ("milliseconds", "warning"), [(1400, "is one averaged beat"), (2000, "holds 2 beats"), (10_000, None)]
)
def test_a_plan_says_how_much_its_ecg_can_bear(
    small_folder: Path, virtual_folder: Path, plan: Any, tmp_path: Path, milliseconds: int, warning: str | None
) -> None:
    recording = read_ecg(virtual_folder / "ecg.csv")
    samples = int(milliseconds * recording.rate_hz / 1000)
    cut = Ecg(leads=recording.leads, signal_mv=recording.signal_mv[:, :samples], rate_hz=recording.rate_hz)
    write_csv(cut, small_folder / "ecg.csv")
    warnings = plan(small_folder, tmp_path / "plan").content["warnings"]
    told = [text for text in warnings if "averaged beat" in text or "beats:" in text]
    assert told == [] if warning is None else warning in told[0]


def test_a_plan_names_what_it_read_and_did_not_use(small_folder: Path, tmp_path: Path, plan: Any) -> None:
    (small_folder / "patient.yaml").write_text("implanted: {vv_delay_ms: 30}\n")
    warnings = plan(small_folder, tmp_path / "plan").content["warnings"]
    assert "patient.yaml: implanted.vv_delay_ms is not used without implanted.lv_mm" in warnings


def test_the_beat_foretold_for_the_implanted_lead_is_held_against_the_recorded_one(
    scarred_plan: Any, tmp_path: Path
) -> None:
    assert scarred_plan.content["fit"]["paced"] is None
    folder = tmp_path / "patient"
    shutil.copytree(scarred_plan.folder, folder)
    settings = [("test", FAST)]
    foretold, _ = plan_patient(folder, tmp_path / "plan", settings).target_map.paced["implanted"]
    write_csv(foretold, folder / "ecg_paced.csv")
    same = plan_patient(folder, tmp_path / "plan", settings).content["fit"]["paced"]
    assert same["correlation"] == pytest.approx(1, abs=1e-3)
    assert same["qrs_error_ms"] == pytest.approx(0, abs=1.5)
    write_csv(
        Ecg(leads=foretold.leads, signal_mv=-foretold.signal_mv, rate_hz=foretold.rate_hz), folder / "ecg_paced.csv"
    )
    other = plan_patient(folder, tmp_path / "plan", settings).content["fit"]["paced"]
    assert other["correlation"] == pytest.approx(-1, abs=1e-3)

import copy
import html.parser
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv

from twin.planning.report import pictures as pictures_module
from twin.planning.report.figures import bullseye_figure, svg
from twin.planning.report.page import headline, number, span, write_report
from twin.planning.report.pictures import CAPTIONS, Picture, render_pictures
from twin.planning.report.scenes import helix_angles_deg, load, scar_beneath
from twin.planning.report.views import direction_letters, view_of

EVIL = "<script>alert(1)</script>"
TINY_PNG = b"\x89PNG\r\n\x1a\n"


def site(name: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": name, "rank": 1, "vein": "lateral vein", "aha_segment": 11, "position_mm": [40.0, 10.0, 0.0],
        "rv_site": "RV apex", "vv_delay_ms": -20.0, "reachable": True, "reasons": [], "response_probability": None,
        "interval": None, "qrs_ms": 130.4, "tat_ms": 101.0, "lvat95_ms": 88.0, "q_lv_ms": 120.0, "scar_at_tip": 0.25,
        "gain_over_lateral_ms": -3.0, "tie_share": 0.8, "index_ms": 63.0, "index_range_ms": [58.0, 67.0],
    }  # fmt: skip
    return values | changes


def plan(**changes: Any) -> dict[str, Any]:
    hypothesis = {
        "name": "slow muscle", "fibre_m_per_s": 0.52, "qrs_ms": 168.0, "qrs_error_ms": -4.0, "correlation": 0.91,
        "at_bound": False, "kept": True,
    }  # fmt: skip
    return {
        "patient": "virtual-0017",
        "intended_use": "research",
        "answer": "sites",
        "sites": [site("S1"), site("S2"), site("S3", rank=3)],
        "intrinsic": {"qrs_ms": 168.0, "tat_ms": 141.0, "lvat95_ms": 120.0},
        "fit": {"correlation": 0.914, "qrs_error_ms": -4.0, "recorded_qrs_ms": 172.0, "hypotheses": [hypothesis]},
        "alternatives": [
            {
                "name": "LBB area pacing",
                "index_ms": 54.0,
                "tat_ms": 96.0,
                "lvat95_ms": 80.0,
                "qrs_ms": 121.0,
                "note": "",
            }
        ],
        "index": {"name": "LVAT95", "definition": "Time to 95 % of the left ventricle.", "tie_zone_ms": 5.0},
        "stand_ins": ["template veins"],
        "warnings": ["the heart was turned to LPS"],
        "inputs": [{"file": "heart.vtu", "sha256": "ab" * 32}],
    } | changes


def write(path: Path, **changes: Any) -> str:
    drawing = svg(bullseye_figure(np.arange(17.0), label="time", unit="ms"))
    picture = path.with_name("heart.png")
    picture.write_bytes(TINY_PNG)
    arguments: dict[str, Any] = {
        "plan": plan(),
        "provenance": {"version": "0.1.0"},
        "figures": {"bullseye_intrinsic": drawing, "bullseye_best": drawing},
        "pictures": [Picture(title="Activation", alt="the heart", path=picture)],
    }
    write_report(path, **(arguments | changes))
    return path.read_text(encoding="utf-8")


class Tags(html.parser.HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_text_from_the_patient_cannot_become_markup(tmp_path: Path) -> None:
    evil = plan(
        patient=EVIL, warnings=[EVIL], stand_ins=[EVIL], inputs=[{"file": EVIL, "sha256": EVIL}],
        sites=[site(EVIL, vein=EVIL, rv_site=EVIL), site("S2", reachable=False, rank=None, reasons=[EVIL])],
    )  # fmt: skip
    text = write(tmp_path / "report.html", plan=evil, provenance={EVIL: EVIL})
    assert "script" not in {tag for tag, _ in Tags(text).found}
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_forbids_requests_and_makes_none(tmp_path: Path) -> None:
    tags = Tags(write(tmp_path / "report.html")).found
    policy = [a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for tag, attributes in tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "form"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/png;base64,", "#")), (tag, name, target)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", (tmp_path / "report.html").read_text())


def test_the_research_banner_comes_before_everything_else(tmp_path: Path) -> None:
    body = write(tmp_path / "report.html").split("<body>")[1]
    order = [body.index(text) for text in ("Research use only", "virtual-0017", "heart.vtu", "share the first rank")]
    assert order == sorted(order)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a.html") == write(tmp_path / "b.html")


def test_ids_of_two_drawings_do_not_collide_and_references_find_them(tmp_path: Path) -> None:
    text = write(tmp_path / "report.html")
    ids = [attributes["id"] for _, attributes in Tags(text).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    assert {a or b for a, b in references} <= set(ids)


def test_a_failed_write_leaves_the_old_page_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    before = write(path)

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write(path, plan=plan(patient="another"))
    assert path.read_text(encoding="utf-8") == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["heart.png", "report.html"]


def test_a_plan_without_any_number_is_written_with_dashes(tmp_path: Path) -> None:
    def emptied(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: emptied(item) for key, item in value.items()}
        if isinstance(value, list):
            return None if value and isinstance(value[0], float) else [emptied(item) for item in value]
        return None if isinstance(value, float) else value

    text = write(tmp_path / "report.html", plan=emptied(copy.deepcopy(plan())), figures={}, pictures=[])
    assert "None" not in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().split()
    assert "Response probability: not available: there is no response model." in text


def test_absolute_paths_in_the_provenance_are_cut_to_the_file_name(tmp_path: Path) -> None:
    provenance = {
        "input": "/records/jane/doe.vtu",
        "a": {"list": ["C:\\Users\\jane\\x.csv", 1]},
        "/records/jane/k.vtu": None,
    }
    text = write(tmp_path / "report.html", provenance=provenance)
    assert "jane" not in text
    assert "doe.vtu" in text
    assert "x.csv" in text


def test_the_headline_counts_the_sites_that_share_the_first_rank() -> None:
    assert headline(plan()) == "2 candidates share the first rank"
    assert headline(plan(sites=[site("S1"), site("S2", rank=2)])) == "Candidate S1 ranks first"
    lost = [site("S1", reachable=False, rank=None, reasons=["vein too narrow"])]
    assert headline(plan(answer="no reachable site", sites=lost)) == "No reachable site among 1 candidate"


def test_without_a_reachable_site_the_page_says_what_was_in_the_way_and_what_lbbap_would_do(tmp_path: Path) -> None:
    lost = [site(f"S{i}", reachable=False, rank=None, reasons=["vein too narrow"]) for i in range(3)]
    text = write(tmp_path / "report.html", plan=plan(answer="no reachable site", sites=lost))
    assert "vein too narrow (3 sites)" in text
    assert re.search(r"<b>LBB area pacing</b> is predicted at QRS 121 ms", text)


CARD = {
    "name": "a model", "label": "LVESV down by 15 %", "data": "a pool", "virtual": True, "patients": 3000, "responders": 1500,
    "protocol": "5 folds", "auc": [0.81, 0.79, 0.83], "calibration_slope": None, "calibration_intercept": None,
    "rebuild": None, "intended_use": "research; not for clinical use", "notes": [EVIL],
}  # fmt: skip


def test_a_response_probability_is_shown_with_its_interval_in_percent_and_the_model_with_its_card(
    tmp_path: Path,
) -> None:
    scored = site("S1", response_probability=0.62, interval=[0.4, 0.8])
    text = write(tmp_path / "report.html", plan=plan(sites=[scored], response_model=CARD))
    assert "not available" not in text
    assert re.search(r"62\s*<small>\(40 to 80\)", text)
    assert "a pool (trained on virtual patients): 3000 patients, 1500 of whom responded" in text
    assert re.search(r"0\.81\s*<span class=\"soft\">\(0\.79 to 0\.83\)", text)
    assert "not for clinical use" in text
    assert EVIL not in text


def test_what_is_behind_a_probability_is_shown_for_the_first_ranked_site(tmp_path: Path) -> None:
    behind = {"name": "sex", "meaning": EVIL, "value": "female", "log_odds": -0.456}
    like = {"patient": "v-17", "responded": False, "distance": 0.7}
    scored = site("S1", response_probability=0.62, interval=[0.4, 0.8], contributions=[behind], nearest_patients=[like])
    text = write(tmp_path / "report.html", plan=plan(sites=[scored], response_model=CARD))
    assert re.search(r'female</td><td class="n">−0\.46', text)
    assert "v-17 (did not respond, distance 0.70)" in text


def test_where_the_model_abstains_the_page_says_so_and_shows_no_number(tmp_path: Path) -> None:
    away = site("S1", response_supported=False, response_reason="outside of the training data (ecg)")
    text = write(tmp_path / "report.html", plan=plan(sites=[away], response_model=CARD))
    assert "<small>abstains</small>" in text
    assert text.count("outside of the training data (ecg)") == 2


def test_where_it_abstains_at_the_first_site_the_best_one_with_an_answer_is_named(tmp_path: Path) -> None:
    away = site("S1", response_supported=False, response_reason="outside of the training data (ecg)")
    scored = site("S2", rank=2, response_probability=0.62, interval=[0.4, 0.8])
    text = write(tmp_path / "report.html", plan=plan(sites=[away, scored], response_model=CARD))
    assert re.search(r"at S2, the best site with an answer</dt><dd>62\s*%\s*<small>\(40 to 80\)", text)


def test_pictures_have_text_for_those_who_do_not_see_them(tmp_path: Path) -> None:
    images = [attributes for tag, attributes in Tags(write(tmp_path / "report.html")).found if tag == "img"]
    assert images
    assert all(attributes.get("alt") for attributes in images)


def test_an_unknown_figure_or_one_that_is_no_svg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no place for a figure"):
        write(tmp_path / "report.html", figures={"pie": "<svg/>"})
    with pytest.raises(ValueError, match="not an <svg> element"):
        write(tmp_path / "report.html", figures={"ecg": EVIL})


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (float("inf"), "–"), (float("nan"), "–"), (-0.2, "0"), (12.4, "12"), (-3.0, "−3")]
)
def test_numbers_read_as_people_write_them(value: float | None, text: str) -> None:
    assert number(value) == text


def test_intervals_are_scaled_with_their_numbers() -> None:
    assert span([0.4, 0.8], scale=100) == "(40 to 80)"
    assert span(None) == ""


def small_heart(path: Path) -> None:
    """A shell of tetrahedra, 60 mm across, with the arrays of heart.vtu and one place that is never reached."""
    ball = pv.ImageData(
        dimensions=(9, 9, 9), spacing=(8.0, 8.0, 8.0), origin=(-32.0, -32.0, -32.0)
    ).cast_to_unstructured_grid()
    tets = ball.triangulate()
    radius = np.linalg.norm(tets.cell_centers().points, axis=1)
    tets = tets.extract_cells(np.flatnonzero((radius > 14) & (radius < 30)))
    tets.clear_data()
    skin = tets.extract_surface(algorithm="dataset_surface")
    skin.clear_data()
    heart = tets.merge(skin, merge_points=True)
    is_triangle = heart.celltypes == pv.CellType.TRIANGLE
    outer = np.linalg.norm(heart.cell_centers().points, axis=1) > 20
    heart.cell_data["surface"] = np.where(is_triangle, np.where(outer, 2, 3), 0).astype(np.int8)
    centres = heart.cell_centers().points
    heart.cell_data["tissue"] = (~is_triangle & (centres[:, 0] > 15)).astype(np.int8) * 2
    fibre = np.cross(centres, [0.0, 0.0, 1.0])
    heart.cell_data["fibre"] = fibre / np.linalg.norm(fibre, axis=1, keepdims=True)
    points = np.asarray(heart.points)
    heart.point_data["apicobasal"] = (points[:, 2] - points[:, 2].min()) / np.ptp(points[:, 2])
    heart.point_data["transmural"] = np.clip((np.linalg.norm(points, axis=1) - 14) / 16, 0, 1)
    times = points[:, 0] - points[:, 0].min()
    heart.point_data["activation_best_ms"] = times.copy()
    times[np.argmax(times)] = np.inf
    heart.point_data["activation_intrinsic_ms"] = times
    heart.save(path)


def small_veins(path: Path) -> None:
    angles = np.linspace(0, np.pi, 12)
    points = 32.0 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    veins = pv.PolyData(points, lines=np.r_[12, np.arange(12)])
    veins.point_data["radius_mm"] = np.linspace(3.0, 1.0, 12)
    veins.point_data["vein"] = np.repeat([0, 1], 6).astype(np.int8)
    veins.field_data["names"] = ["coronary sinus", "lateral vein"]
    veins.save(path)


def test_pictures_are_drawn_or_the_reader_is_told_what_to_install(tmp_path: Path) -> None:
    """A machine without OpenGL libraries keeps the second half of the law; any other machine the first."""
    small_heart(tmp_path / "heart.vtu")
    small_veins(tmp_path / "veins.vtp")
    sites = [
        site("S1", position_mm=[0.0, 32.0, 0.0]),
        site("S2", reachable=False, rank=None, position_mm=[-32.0, 0, 0]),
    ]
    result = render_pictures(tmp_path / "heart.vtu", tmp_path / "veins.vtp", sites, tmp_path / "out", timeout_s=120)
    if result.warnings:
        assert result.pictures == ()
        assert "libegl1 libegl-mesa0 libgl1-mesa-dri libgl1" in result.warnings[0]
    else:
        assert [picture.path.name for picture in result.pictures] == list(CAPTIONS)
        assert all(picture.path.read_bytes().startswith(b"\x89PNG") for picture in result.pictures)
    assert not list((tmp_path / "out").glob(".pictures-*"))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with code -11"),
        ("raise SystemExit(1)", "ended with code 1"),
        ("import time; time.sleep(60)", "took more than 0.5 s"),
        ("pass", "made none"),
    ],
)
def test_a_failing_drawing_process_costs_only_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.setattr(pictures_module, "_COMMAND", (sys.executable, "-c", code))
    timeout_s = 0.5 if "sleep" in code else 60
    result = render_pictures(tmp_path / "heart.vtu", None, [], tmp_path / "out", timeout_s=timeout_s)
    assert result.pictures == ()
    assert len(result.warnings) == 1
    assert reason in result.warnings[0]
    assert "libegl1 libegl-mesa0 libgl1-mesa-dri libgl1" in result.warnings[0]
    assert not list((tmp_path / "out").iterdir())


def test_a_program_that_is_not_there_costs_only_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "_COMMAND", (str(tmp_path / "no-such-program"),))
    result = render_pictures(tmp_path / "heart.vtu", None, [], tmp_path / "out", timeout_s=60)
    assert "did not start" in result.warnings[0]


def test_files_that_cannot_be_drawn_are_the_warning_not_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; sys.stderr.write('noise\\nheart.vtu holds no mesh\\n'); sys.exit(3)"
    monkeypatch.setattr(pictures_module, "_COMMAND", (sys.executable, "-c", code))
    result = render_pictures(tmp_path / "heart.vtu", None, [], tmp_path / "out", timeout_s=60)
    assert result.warnings == ("No pictures of the heart: heart.vtu holds no mesh.",)


def test_a_truncated_heart_file_is_refused_and_named_without_its_folder(tmp_path: Path) -> None:
    small_heart(tmp_path / "heart.vtu")
    whole = pv.read(tmp_path / "heart.vtu")
    whole.cell_data.pop("fibre")
    whole.save(tmp_path / "bare.vtu")
    with pytest.raises(ValueError, match=r"^bare\.vtu has no cell array fibre"):
        load(tmp_path / "bare.vtu", None, [])
    pv.UnstructuredGrid().save(tmp_path / "empty.vtu")
    with pytest.raises(ValueError, match=r"^empty\.vtu holds no mesh"):
        load(tmp_path / "empty.vtu", None, [])


def test_scar_is_shown_where_the_wall_beneath_holds_it_and_not_through_the_cavity(tmp_path: Path) -> None:
    small_heart(tmp_path / "heart.vtu")
    scene = load(tmp_path / "heart.vtu", None, [])
    kinds = scar_beneath(scene)
    x = np.asarray(scene.skin.cell_centers().points)[:, 0]
    assert (kinds[np.asarray(scene.skin.cell_data["surface"]) == 3] == -1).all()
    outer = np.asarray(scene.skin.cell_data["surface"]) == 2
    assert (kinds[outer & (x > 20)] == 2).all()
    assert (kinds[outer & (x < -5)] == 0).all()


def test_a_fibre_that_rises_to_the_right_seen_from_outside_has_a_positive_helix_angle() -> None:
    """Seen from the front (-y) with the base on top, right is +x; so +x +z is a right-handed helix."""
    outward, axis = np.array([[0.0, -2.0, 0.0]]), np.array([0.0, 0.0, 1.0])
    for degrees in (-60.0, -20.0, 0.0, 45.0):
        angle = np.radians(degrees)
        fibre = np.array([[np.cos(angle), 0.0, np.sin(angle)]])
        np.testing.assert_allclose(helix_angles_deg(fibre, outward, axis), degrees, atol=1e-12)
        np.testing.assert_allclose(helix_angles_deg(-fibre, outward, axis), degrees, atol=1e-12)


def test_from_the_front_the_left_of_the_patient_is_on_the_right_of_the_picture() -> None:
    points = np.array([[-50.0, -50.0, -50.0], [50.0, 50.0, 50.0]])
    front = view_of(points, np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    assert (direction_letters(front.right), direction_letters(front.above)) == ("L", "H")
    np.testing.assert_allclose(front.flat_mm(np.array([[10.0, 0.0, 5.0]])), [[10.0, 5.0]], atol=1e-12)
    behind = view_of(points, np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    assert set(direction_letters(behind.right)) == {"R", "P"}


def test_a_view_holds_every_point() -> None:
    points = np.random.default_rng(5).normal(loc=(100.0, 0.0, -40.0), scale=30.0, size=(50, 3))
    view = view_of(points, np.array([1.0, 0.4, -0.3]), np.array([0.0, 0.0, 1.0]))
    assert np.abs(view.flat_mm(points)).max() < view.half_mm

from pathlib import Path
from typing import Any

import pytest

from anatomy.access import LeadRules
from anatomy.fibres import FibreAngles
from twin.activation import CaptureLatency
from twin.conduction import Conduction
from twin.personalise import FitRules
from twin.planning.errors import InputError, SettingsError
from twin.planning.settings import Settings, merged_settings, read_yaml


def faults(*layers: tuple[str, dict[str, Any]]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        merged_settings(*layers)
    return str(caught.value).splitlines()


def test_every_default_is_that_of_the_dataclass_that_uses_it() -> None:
    settings = merged_settings()
    assert settings == Settings()
    assert (settings.conduction, settings.fit, settings.lead) == (Conduction(), FitRules(), LeadRules())
    assert (settings.fibres, settings.latency) == (FibreAngles(), CaptureLatency())


def test_a_later_layer_replaces_single_values_of_an_earlier_one() -> None:
    settings = merged_settings(
        ("patient.yaml", {"edge_mm": 2.0, "lead": {"lead_diameter_mm": 2.0, "wall_distance_mm": 5.0}}),
        ("command line", {"edge_mm": 1.0, "lead": {"wall_distance_mm": 6.0}}),
    )
    assert settings.edge_mm == 1.0
    assert settings.lead == LeadRules(lead_diameter_mm=2.0, wall_distance_mm=6.0)


def test_merging_leaves_the_layers_as_they_were() -> None:
    layer = {"lead": {"lead_diameter_mm": 2.0}}
    merged_settings(("a", layer), ("b", {"lead": {"lead_diameter_mm": 3.0}}))
    assert layer == {"lead": {"lead_diameter_mm": 2.0}}


def test_all_faults_are_named_at_once_one_a_line_each_with_the_layer_it_came_from() -> None:
    lines = faults(
        (
            "patient.yaml",
            {
                "edge_mm": 99,
                "colour": "red",
                "fit": {"tolerance_ms": -1, "patience": 3},
                "lead": {"lead_diameter_mm": -1, "electrode_spacing_mm": -2},
                "conduction": {"fibre_m_per_s": "fast"},
                "vv_delays_ms": [0, 500],
            },
        ),
        ("command line", {"rhythm": "waltz"}),
    )
    wanted = (
        "edge_mm: ", "colour: unknown key", "fit.patience: unknown key", "tolerance_ms must be > 0",
        "lead: lead_diameter_mm must", "electrode_spacing_mm must", "conduction.fibre_m_per_s: ", "vv_delays_ms.1: ",
        "rhythm: ",
    )  # fmt: skip
    assert len(lines) == len(wanted)
    for text in wanted:
        (line,) = [line for line in lines if f": {text}" in line or (f" {text}" in line and "must" in text)]
        assert line.startswith("command line: " if text == "rhythm: " else "patient.yaml: ")


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    (line,) = faults(("settings.yaml", {"edge": 1.5}))
    assert line.startswith("settings.yaml: edge: unknown key; known are edge_mm, ")


@pytest.mark.parametrize(
    "values",
    [
        {"edge_mm": float("nan")},
        {"edge_mm": None},
        {"vv_delays_ms": []},
        {"vv_delays_ms": [float("nan")]},
        {"tie_zone_ms": 0},
        {"rv_site": 3},
        {"lead": 1.3},
        {"fibres": {"helix_endocardium": float("nan")}},
        {"fit": {"slowest_m_per_s": 3.0}},
        {"latency": {"lv_ms": -1}},
        {7: 8},
    ],
)
def test_one_fault_is_one_line(values: dict[Any, Any]) -> None:
    (line,) = faults(("here", values))
    assert line.startswith("here: ")


def test_values_that_are_fine_together_are_not_refused_one_by_one() -> None:
    together = {"slowest_m_per_s": 1.2, "fastest_m_per_s": 2.0}
    assert merged_settings(("a", {"fit": together})).fit == FitRules(**together)
    assert len(faults(("a", {"fit": {**together, "tolerance_ms": -1}}))) == 1


def test_an_empty_yaml_file_is_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml", InputError) == {}


@pytest.mark.parametrize(
    "content",
    [b"a: [b\n", b"- 1\n", b"\xff\xfe\x00", b"[" * 50_000, b"a: !!python/name:os.system\n", b"a: 2024-13-45\n"],
)
def test_what_is_not_a_yaml_mapping_is_refused_in_one_line_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"^a\.yaml: ") as caught:
        read_yaml(tmp_path / "a.yaml", InputError)
    assert "\n" not in str(caught.value)


def test_a_yaml_file_that_is_not_there_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^a\.yaml: cannot be read") as caught:
        read_yaml(tmp_path / "a.yaml", SettingsError)
    assert str(tmp_path) not in str(caught.value)

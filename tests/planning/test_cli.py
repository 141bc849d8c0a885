"""The command line: exit codes, one line per fault, nothing left behind."""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv
import SimpleITK as sitk  # noqa: N813

from anatomy.heart import Heart
from anatomy.labels import Label, write_label_map
from anatomy.phantom import Phantom
from anatomy.torso import electrodes_by_rule
from anatomy.vein_template import template_tree
from anatomy.veins import write_veins
from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg

Break = Callable[[Path], object]
_MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from twin.planning.cli import main; main()"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, small_heart: Heart) -> Path:
    """Sound files of every kind, to be spoilt."""
    folder = tmp_path_factory.mktemp("parts")
    write_label_map(folder / "labels.nii.gz", Phantom().label_map(voxel_mm=3))
    write_veins(folder / "veins.vtp", template_tree(small_heart))
    places = electrodes_by_rule(small_heart).positions_mm.tolist()
    names = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
    electrodes = {"units": "mm", "positions": dict(zip(names, places, strict=True))}
    (folder / "electrodes.json").write_text(json.dumps(electrodes))
    # One beat: a broad negative QRS in V1, a positive one elsewhere, then a T wave.
    time_ms = np.arange(0, 700, 2.0)
    wave = np.exp(-0.5 * ((time_ms - 200) / 30) ** 2) - 0.3 * np.exp(-0.5 * ((time_ms - 420) / 50) ** 2)
    sizes = np.array([0.8, 0.6, -0.2, -0.7, 0.5, 0.2, -1.2, -1.5, -0.8, 0.4, 1.1, 1.0])
    sizes[2:6] = sizes[1] - sizes[0], -(sizes[0] + sizes[1]) / 2, sizes[0] - sizes[1] / 2, sizes[1] - sizes[0] / 2
    write_csv(Ecg(leads=STANDARD_LEADS, signal_mv=sizes[:, None] * wave, rate_hz=500.0), folder / "ecg.csv")
    return folder


def assert_refused(run: Callable[..., Any], folder: Path, code: int, name: str) -> str:
    """One line on stderr after the log, which names the file; nothing written."""
    before = sorted(path.name for path in folder.parent.iterdir())
    result = run("plan", folder, "--out", folder.parent / "plan", "--no-pictures")
    lines = [line for line in result.stderr.splitlines() if not re.match(r"\w+( \.\.\.|: [\d.]+ s)$", line)]
    assert result.exit_code == code, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("crt-twin: ")
    assert name in lines[0]
    assert result.stdout == ""
    assert sorted(path.name for path in folder.parent.iterdir()) == before
    return lines[0]


# Hearts as meshes.


def mesh_with(change: Callable[[dict[str, Any]], object]) -> Break:
    """Rewrite heart.vtu after a change to its nodes, tets, triangles or surface tags."""

    def spoil(folder: Path) -> None:
        grid = pv.read(folder / "heart.vtu")
        tets, triangles = grid.cells_dict[pv.CellType.TETRA], grid.cells_dict[pv.CellType.TRIANGLE]
        parts = {
            "nodes": np.array(grid.points),
            "tets": tets.copy(),
            "triangles": triangles.copy(),
            "surface": np.asarray(grid.cell_data["surface"])[len(tets) :].copy(),
        }
        change(parts)
        write_mesh(folder / "heart.vtu", parts)

    return spoil


def write_mesh(path: Path, parts: dict[str, Any]) -> None:
    tets, triangles = parts["tets"], parts["triangles"]
    cells = np.concatenate([np.insert(tets, 0, 4, axis=1).ravel(), np.insert(triangles, 0, 3, axis=1).ravel()])
    kinds = np.repeat(np.array([pv.CellType.TETRA, pv.CellType.TRIANGLE], dtype=np.uint8), [len(tets), len(triangles)])
    grid = pv.UnstructuredGrid(cells, kinds, parts["nodes"])
    grid.cell_data["surface"] = np.concatenate([np.zeros(len(tets)), parts["surface"]]).astype(np.int8)
    grid.save(path)


def keep_triangles(parts: dict[str, Any], keep: Any) -> None:
    parts["triangles"], parts["surface"] = parts["triangles"][keep], parts["surface"][keep]


def number_out_of_range(folder: Path) -> None:
    """VTK would crash on writing such a number, so it goes into the text of the file."""
    path = folder / "heart.vtu"
    mesh_with(lambda _: None)(folder)
    pv.read(path).save(path, binary=False)
    head, rest = path.read_text().split('Name="connectivity"', 1)
    attributes, numbers = rest.split(">", 1)
    path.write_text(f'{head}Name="connectivity"{attributes}>{re.sub(r"[0-9]+", "999999", numbers, count=1)}')


def array_with(name: str, change: Callable[[Any, Any], object]) -> Break:
    def spoil(folder: Path) -> None:
        grid = pv.read(folder / "heart.vtu")
        values = np.array(grid.cell_data[name])
        change(values, grid)
        grid.cell_data[name] = values
        grid.save(folder / "heart.vtu")

    return spoil


def left_alone(parts: dict[str, Any]) -> None:
    """Only the left ventricle, without tags."""
    keep_triangles(parts, slice(0, 0))
    nodes = parts["nodes"]
    parts["tets"] = parts["tets"][nodes[parts["tets"]][:, :, 0].min(axis=1) > np.median(nodes[:, 0])]


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HEARTS: dict[str, Break] = {
    "is empty": lambda f: (f / "heart.vtu").write_bytes(b""),
    "truncated": lambda f: half(f / "heart.vtu"),
    "VTK reads": lambda f: (f / "heart.vtu").write_bytes(np.random.default_rng(0).bytes(5000)),
    "not a tetrahedral mesh": lambda f: (f / "heart.vtu").write_text("<html><body>404 Not Found</body></html>"),
    "volume -": mesh_with(lambda p: p.update(tets=p["tets"][:, [1, 0, 2, 3]])),
    "(1 of": mesh_with(lambda p: p["tets"].__setitem__((7, slice(0, 2)), p["tets"][7, 1::-1])),
    "need > 0": mesh_with(lambda p: p["tets"].__setitem__((7, 3), p["tets"][7, 2])),
    "names a node": number_out_of_range,
    "not a finite number": mesh_with(lambda p: p["nodes"].__setitem__((3, 1), np.nan)),
    "look like metres": mesh_with(lambda p: p.update(nodes=p["nodes"] / 1000)),
    "look like micrometres": mesh_with(lambda p: p.update(nodes=p["nodes"] * 1000)),
    "no base": mesh_with(lambda p: keep_triangles(p, p["surface"] != 1)),
    "no RV endocardium": mesh_with(lambda p: keep_triangles(p, p["surface"] != 4)),
    "cavities": mesh_with(left_alone),
    "another tag": mesh_with(lambda p: p["surface"].__setitem__(0, 9)),
    "tissue must be": array_with("tissue", lambda values, _: values.__setitem__(0, 7)),
    "all muscle is scar": array_with("tissue", lambda values, grid: values.__setitem__(grid.celltypes == 10, 2)),
    "fibres[0] has length 0": array_with("fibre", lambda values, _: values.__setitem__(0, 0)),
}


@pytest.mark.parametrize("fault", HEARTS)
def test_a_faulty_mesh_is_refused(run: Any, small_folder: Path, fault: str) -> None:
    HEARTS[fault](small_folder)
    assert fault in assert_refused(run, small_folder, 3, "heart.vtu")


def test_a_folder_instead_of_a_mesh_is_refused(run: Any, small_folder: Path) -> None:
    (small_folder / "heart.vtu").unlink()
    (small_folder / "heart.vtu").mkdir()
    assert_refused(run, small_folder, 3, "heart.vtu")


def test_a_folder_without_a_heart_and_no_folder_at_all_are_refused(run: Any, tmp_path: Path) -> None:
    assert "is no folder" in assert_refused(run, tmp_path / "nobody", 3, "nobody")
    (tmp_path / "nobody").mkdir()
    assert "labels.nii.gz" in assert_refused(run, tmp_path / "nobody", 3, "nobody")


# Label maps.


def labels_with(change: Callable[[Any], Any]) -> Break:
    def spoil(folder: Path) -> None:
        image = sitk.ReadImage(str(folder / "labels.nii.gz"))
        changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
        changed.CopyInformation(image)
        sitk.WriteImage(changed, str(folder / "labels.nii.gz"))

    return spoil


def with_bloods_swapped(ids: Any) -> Any:
    return np.choose(ids, [0, Label.LV_BLOOD, 2, Label.RV_BLOOD, 2, 2]).astype(np.uint8)


def in_four_dimensions(folder: Path) -> None:
    image = sitk.ReadImage(str(folder / "labels.nii.gz"))
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(folder / "labels.nii.gz"))


def cut_inside(folder: Path) -> None:
    """Sound as gzip, but the image within ends early: SimpleITK would fill up with background."""
    whole = gzip.decompress((folder / "labels.nii.gz").read_bytes())
    (folder / "labels.nii.gz").write_bytes(gzip.compress(whole[: len(whole) // 2]))


LABELS: dict[str, Break] = {
    "may be empty or truncated": lambda f: half(f / "labels.nii.gz"),
    "is truncated": cut_inside,
    "is not an image": lambda f: (f / "labels.nii.gz").write_bytes(b""),
    "no NIfTI header": lambda f: (f / "labels.nii.gz").write_bytes(gzip.compress(b"hello" * 200)),
    "which convention": labels_with(lambda ids: ids * np.uint8(50)),
    "look swapped": labels_with(with_bloods_swapped),
    "4 dimensions": in_four_dimensions,
    "no voxel is RV blood": labels_with(np.zeros_like),
}


@pytest.mark.parametrize("fault", LABELS)
def test_a_faulty_label_map_is_refused(run: Any, tmp_path: Path, parts: Path, fault: str) -> None:
    folder = tmp_path / "patient"
    folder.mkdir()
    shutil.copy(parts / "labels.nii.gz", folder)
    (folder / "patient.yaml").write_text("labels: crt-twin\n")
    LABELS[fault](folder)
    assert fault in assert_refused(run, folder, 3, "labels.nii.gz")


# Surfaces.


def spheres(*, tags: bool = True, kinds: tuple[int, ...] = (2, 3, 4), cut: bool = False, size_mm: float = 90) -> Any:
    skin = pv.Sphere(radius=size_mm / 2)
    if tags:
        skin.cell_data["surface"] = np.resize(kinds, skin.n_cells).astype(np.int8)
    return skin.extract_cells(np.arange(5, skin.n_cells)).extract_surface(algorithm="dataset_surface") if cut else skin


SURFACES: dict[str, Callable[[], Any]] = {
    "not closed": lambda: spheres(kinds=(1, 2, 3, 4), cut=True),
    "has no tags": lambda: spheres(tags=False),
    "no triangle is tagged 1 base": spheres,
    "look like metres": lambda: spheres(kinds=(1, 2, 3, 4), size_mm=0.09),
}


@pytest.mark.parametrize("fault", SURFACES)
def test_a_faulty_surface_is_refused(run: Any, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "patient"
    folder.mkdir()
    SURFACES[fault]().save(folder / "surfaces.vtp")
    assert fault in assert_refused(run, folder, 3, "surfaces.vtp")


# ECGs.


def table_with(change: Callable[[list[list[str]]], list[list[str]]]) -> Break:
    def spoil(folder: Path) -> None:
        table = [line.split(",") for line in (folder / "ecg.csv").read_text().splitlines()]
        (folder / "ecg.csv").write_text("".join(",".join(row) + "\n" for row in change(table)))

    return spoil


def each_number(change: Callable[[float, int, int], float]) -> Break:
    """Change the numbers of the leads; the time column is number 0."""
    return table_with(
        lambda table: [
            table[0],
            *(
                [row[0], *(repr(change(float(cell), i, j)) for j, cell in enumerate(row[1:], 1))]
                for i, row in enumerate(table[1:])
            ),
        ]
    )


ECGS: dict[str, Break] = {
    "missing V3": table_with(lambda table: [row[:9] + row[10:] for row in table]),
    "lead V3 is flat": each_number(lambda value, _, j: 0.1 if j == 9 else value),
    "lead aVR has nan": each_number(lambda value, i, j: float("nan") if (i, j) == (50, 4) else value),
    "looks like microvolts": each_number(lambda value, _i, _j: 1000 * value),
    "looks like volts": each_number(lambda value, _i, _j: value / 1000),
    "equal steps": table_with(lambda table: table[:100] + table[120:]),
    "0 lines": lambda f: (f / "ecg.csv").write_text(""),
    "1 lines": table_with(lambda table: table[:1]),
    "not a table of numbers": table_with(lambda table: [*table[:9], ["16.0", *["?"] * 12], *table[10:]]),
    "not a text file": lambda f: (f / "ecg.csv").write_bytes(np.random.default_rng(0).bytes(500)),
    "the QRS lasts": table_with(lambda table: [table[0], *table[91:108]]),
}


@pytest.mark.parametrize("fault", ECGS)
def test_a_faulty_ecg_is_refused(run: Any, small_folder: Path, parts: Path, fault: str) -> None:
    shutil.copy(parts / "ecg.csv", small_folder)
    ECGS[fault](small_folder)
    assert fault in assert_refused(run, small_folder, 3, "ecg.csv")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"ecg 1 500 1000\necg.dat 16 1000 16 0 0 0 0 V1\n", "signal file that is not there: ecg.dat"),
        (b"lorem ipsum\n", "not a complete WFDB record"),
        (b"", "not a complete WFDB record"),
    ],
)
def test_a_header_without_its_signals_is_refused(run: Any, small_folder: Path, header: bytes, fault: str) -> None:
    (small_folder / "ecg.hea").write_bytes(header)
    assert fault in assert_refused(run, small_folder, 3, "ecg.hea")


# Electrodes and veins.


def electrodes_with(change: Callable[[dict[str, Any]], object]) -> Break:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / "electrodes.json").read_text())
        change(content)
        (folder / "electrodes.json").write_text(json.dumps(content))

    return spoil


def moved(positions: dict[str, list[float]], factor: float, shift_mm: float) -> dict[str, list[float]]:
    return {name: [factor * x + shift_mm for x in place] for name, place in positions.items()}


ELECTRODES: dict[str, Break] = {
    "is no electrode file": lambda f: (f / "electrodes.json").write_text("{nope"),
    "need {": lambda f: (f / "electrodes.json").write_text("[" * 100_000),
    "lacks the electrode V3": electrodes_with(lambda c: c["positions"].pop("V3")),
    "convert the positions to mm": electrodes_with(lambda c: c.update(units="m")),
    "three numbers": electrodes_with(lambda c: c["positions"].update(V3=[1, 2])),
    "not a finite number": electrodes_with(lambda c: c["positions"].update(V3=[1, 2, float("nan")])),
    "check that they are in mm": electrodes_with(lambda c: c.update(positions=moved(c["positions"], 0.001, 0))),
    "in the frame of the geometry": electrodes_with(lambda c: c.update(positions=moved(c["positions"], 1, 2000))),
    "inside the heart": electrodes_with(lambda c: c["positions"].update(V3=c["positions"]["centre"])),
}


@pytest.mark.parametrize("fault", ELECTRODES)
def test_faulty_electrodes_are_refused(
    run: Any, small_folder: Path, parts: Path, small_heart: Heart, fault: str
) -> None:
    content = json.loads((parts / "electrodes.json").read_text())
    content["positions"]["centre"] = small_heart.nodes_mm.mean(axis=0).tolist()
    (small_folder / "electrodes.json").write_text(json.dumps(content))
    ELECTRODES[fault](small_folder)
    assert fault in assert_refused(run, small_folder, 3, "electrodes.json")


def veins_with(change: Callable[[Any], object]) -> Break:
    def spoil(folder: Path) -> None:
        veins = pv.read(folder / "veins.vtp")
        (change(veins) or veins).save(folder / "veins.vtp")

    return spoil


def with_a_loop(veins: Any) -> Any:
    lines = np.concatenate([np.asarray(veins.lines), [2, 0, veins.n_points - 1]])
    looped = pv.PolyData(np.asarray(veins.points), lines=lines)
    for mine, theirs in ((looped.point_data, veins.point_data), (looped.field_data, veins.field_data)):
        for name in theirs:
            mine[name] = theirs[name]
    return looped


def set_points(veins: Any, factor: float, shift_mm: float) -> None:
    veins.points = factor * np.asarray(veins.points) + shift_mm


VEINS: dict[str, Break] = {
    "lacks the point array `radius_mm`": veins_with(lambda v: v.point_data.pop("radius_mm") is None),
    "form no single tree": veins_with(with_a_loop),
    "check that they are in mm": veins_with(lambda v: set_points(v, 0.001, 0)),
    "in the frame of the geometry": veins_with(lambda v: set_points(v, 1, 500)),
    "may be truncated": lambda f: half(f / "veins.vtp"),
    "empty": lambda f: (f / "veins.vtp").write_bytes(b""),
    "holds no lines": lambda f: pv.Sphere().save(f / "veins.vtp"),
}


@pytest.mark.parametrize("fault", VEINS)
def test_faulty_veins_are_refused(run: Any, small_folder: Path, parts: Path, fault: str) -> None:
    shutil.copy(parts / "veins.vtp", small_folder)
    VEINS[fault](small_folder)
    assert fault in assert_refused(run, small_folder, 3, "veins.vtp")


# Sites and patient.yaml; what can be said without the heart is tested in test_patient.


def test_sites_and_leads_far_from_the_heart_are_refused(run: Any, small_folder: Path) -> None:
    (small_folder / "sites.csv").write_text("id,x_mm,y_mm,z_mm\na,500,500,500\n")
    assert "give mm in the frame" in assert_refused(run, small_folder, 3, "sites.csv")
    (small_folder / "sites.csv").write_text("id,x_mm,y_mm,z_mm\na,left,0,0\n")
    assert "must be numbers" in assert_refused(run, small_folder, 3, "sites.csv")
    (small_folder / "sites.csv").unlink()
    for lead in ("lv_mm", "rv_mm"):
        (small_folder / "patient.yaml").write_text(f"implanted: {{{lead}: [999, 0, 0]}}\n")
        assert f"implanted.{lead}" in assert_refused(run, small_folder, 3, "patient.yaml")


@pytest.mark.parametrize("name", ["implanted", "lateral", "LMV1"])
def test_an_id_that_the_plan_uses_itself_is_refused(
    run: Any, small_folder: Path, small_heart: Heart, name: str
) -> None:
    x, y, z = small_heart.nodes_mm[0]
    (small_folder / "sites.csv").write_text(f"id,x_mm,y_mm,z_mm\n{name},{x},{y},{z}\n")
    assert "choose another" in assert_refused(run, small_folder, 3, "sites.csv")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [b\n", 3),
        ("- 1\n", 3),
        ("labelz: acdc\n", 3),
        ("settings: {edge_mm: 99}\n", 2),
        ("settings: {egde_mm: 1}\n", 2),
        ("settings: 3\n", 2),
        ("lead: {lead_diameter_mm: -1}\n", 2),
    ],
)
def test_faults_in_patient_yaml_and_in_its_settings_have_their_own_codes(
    run: Any, small_folder: Path, text: str, code: int
) -> None:
    (small_folder / "patient.yaml").write_text(text)
    assert_refused(run, small_folder, code, "patient.yaml")


def test_all_wrong_settings_are_named_at_once_one_a_line(run: Any, small_folder: Path, tmp_path: Path) -> None:
    (small_folder / "patient.yaml").write_text("settings: {edge_mm: 99, lead: {lead_diameter_mm: thin}}\n")
    (tmp_path / "mine.yaml").write_text("tie_zone_ms: 0\ncolour: red\n")
    result = run(
        "plan", small_folder, "--out", tmp_path / "o", "--settings", tmp_path / "mine.yaml", "--rhythm", "waltz"
    )
    assert result.exit_code == 2
    starts = [line.removeprefix("crt-twin: ").split(": ", 2)[:2] for line in result.stderr.splitlines()]
    assert sorted(starts) == [
        ["command line", "rhythm"],
        ["mine.yaml", "colour"],
        ["mine.yaml", "tie_zone_ms"],
        ["patient.yaml", "edge_mm"],
        ["patient.yaml", "lead.lead_diameter_mm"],
    ]
    assert not (tmp_path / "o").exists()


def test_a_settings_file_that_is_not_there_is_wrong_usage(run: Any, small_folder: Path, tmp_path: Path) -> None:
    result = run("plan", small_folder, "--out", tmp_path / "o", "--settings", tmp_path / "mine.yaml")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "x"], ["demo"], ["dance"], ["plan", "x", "--out"], ["heart"]])
def test_wrong_usage_is_code_2(run: Any, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_seed_below_zero_is_wrong_usage(run: Any, tmp_path: Path) -> None:
    assert run("demo", "--out", tmp_path / "demo", "--seed", "-1").exit_code == 2
    assert not (tmp_path / "demo").exists()


def test_the_patient_folder_and_a_file_are_no_place_for_a_plan(run: Any, small_folder: Path, tmp_path: Path) -> None:
    heart = (small_folder / "heart.vtu").read_bytes()
    (tmp_path / "file").write_text("mine")
    for out in (small_folder, small_folder / ".." / "patient", tmp_path / "file"):
        result = run("plan", small_folder, "--out", out)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert [path.name for path in small_folder.iterdir()] == ["heart.vtu"]
    assert (small_folder / "heart.vtu").read_bytes() == heart
    assert (tmp_path / "file").read_text() == "mine"


# What goes well.


def test_plan_prints_the_plan_as_json_on_stdout_and_the_log_on_stderr(
    run: Any, small_folder: Path, tmp_path: Path
) -> None:
    result = run("plan", small_folder, "--out", tmp_path / "plan", "--no-pictures", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert "anatomy ..." in result.stderr
    assert "anatomy" not in run("plan", small_folder, "--out", tmp_path / "plan", "--no-pictures", "--quiet").stderr


def test_heart_writes_a_heart(run: Any, small_folder: Path, tmp_path: Path) -> None:
    result = run("heart", small_folder / "heart.vtu", "--out", tmp_path / "new.vtu")
    assert result.exit_code == 0
    old, new = pv.read(small_folder / "heart.vtu"), pv.read(tmp_path / "new.vtu")
    np.testing.assert_allclose(new.points, old.points, atol=1e-9)
    assert run("heart", tmp_path / "none.vtu", "--out", tmp_path / "x.vtu").exit_code == 3


def test_measure_lists_an_ecg(run: Any, parts: Path) -> None:
    result = run("ecg", "measure", parts / "ecg.csv", "--json")
    (row,) = json.loads(result.stdout)
    assert (row["file"], row["heart_rate_bpm"]) == ("ecg.csv", None)
    assert run("ecg", "measure", parts / "none.csv").exit_code == 3


def test_research_use_only_stands_in_help_and_version(run: Any) -> None:
    for option in ("--help", "--version"):
        assert "Research use only" in run(option).stdout.replace("\n", " ")


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; sys.argv = ['crt-twin', '--help']\n"
        "try:\n    from twin.planning.cli import main; main()\nexcept SystemExit: pass\n"
        "print([name for name in ('numpy', 'scipy', 'numba', 'pyvista', 'pydantic', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interruption_leaves_nothing_and_is_code_130(small_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MAIN, "plan", str(small_folder), "--out", str(tmp_path / "plan"), "--no-pictures"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("twins ..."):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert rest.splitlines()[-1] == "crt-twin: interrupted; nothing half-written was left"
    assert [path.name for path in tmp_path.iterdir()] == ["patient"]


@pytest.mark.parametrize(
    "options", [["--out", "x.vtk"], ["--out", "nowhere/x.vtu"], ["--out", "x.vtu", "--labels", "mine"]]
)
def test_a_heart_that_could_not_be_written_or_read_is_refused_before_work_begins(
    run: Any, heart_file: Path, options: list[str]
) -> None:
    result = run("heart", str(heart_file), *options)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1

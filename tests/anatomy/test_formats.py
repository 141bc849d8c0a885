"""Laws of heart and surface files: what is written comes back, what is damaged is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import pyvista as pv

from anatomy.formats import read_heart_file, read_surface_file, write_heart, write_opencarp
from anatomy.heart import Coordinates, Heart

DATA = Path(__file__).parents[2] / "../shared/data"
NODES = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])


def write_mesh(path: Path, tets: list[list[int]], nodes: object = NODES, **cell_data: object) -> Path:
    cells = np.array([[4, *tet] for tet in tets], dtype=np.int64).ravel()
    grid = pv.UnstructuredGrid(cells, np.full(len(tets), 10, dtype=np.uint8), np.asarray(nodes))
    for name, values in cell_data.items():
        grid.cell_data[name] = np.asarray(values)
    grid.save(path)
    return path


def test_a_heart_comes_back_the_same(small_heart: Heart, tmp_path: Path) -> None:
    times = np.linspace(0, 99, len(small_heart.nodes_mm))
    times[3] = np.inf
    write_heart(tmp_path / "heart.vtu", small_heart, {"activation_ms": times})
    file = read_heart_file(tmp_path / "heart.vtu")
    names = [*Coordinates.__dataclass_fields__, "activation_ms"]
    for name in ("nodes_mm", "tets", "triangles", "surface", "fibres", "sheets", "tissue"):
        np.testing.assert_array_equal(getattr(file, name), getattr(small_heart, name), err_msg=name)
    assert sorted(file.point_arrays) == sorted(names)
    for name in names[:-1]:
        np.testing.assert_array_equal(file.point_arrays[name], getattr(small_heart.coordinates, name), err_msg=name)
    np.testing.assert_array_equal(file.point_arrays["activation_ms"], times)
    assert [p.name for p in tmp_path.iterdir()] == ["heart.vtu"]


def test_the_same_heart_gives_the_same_bytes(small_heart: Heart, tmp_path: Path) -> None:
    for name in ("a.vtu", "b.vtu"):
        write_heart(tmp_path / name, small_heart)
    assert (tmp_path / "a.vtu").read_bytes() == (tmp_path / "b.vtu").read_bytes()


def test_a_point_array_may_not_replace_a_coordinate(small_heart: Heart, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aha"):
        write_heart(tmp_path / "heart.vtu", small_heart, {"aha": np.zeros(len(small_heart.nodes_mm))})
    assert not list(tmp_path.iterdir())


def test_opencarp_files_come_back_the_same_from_any_of_the_three(small_heart: Heart, tmp_path: Path) -> None:
    write_opencarp(tmp_path / "heart", small_heart)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["heart.elem", "heart.lon", "heart.pts"]
    for suffix in (".pts", ".elem"):
        file = read_heart_file(tmp_path / f"heart{suffix}")
        np.testing.assert_allclose(file.nodes_mm, small_heart.nodes_mm, atol=1e-8)
        np.testing.assert_array_equal(file.tets, small_heart.tets)
        np.testing.assert_allclose(file.fibres, small_heart.fibres, atol=1e-8)
        np.testing.assert_allclose(file.sheets, small_heart.sheets, atol=1e-8)


def opencarp(
    folder: Path, *, pts: str = "4\n0 0 0\n1000 0 0\n0 1000 0\n0 0 1000\n", elem: str, lon: str | None = None
) -> Path:
    (folder / "m.pts").write_text(pts)
    (folder / "m.elem").write_text(elem)
    if lon is not None:
        (folder / "m.lon").write_text(lon)
    return folder / "m.pts"


def test_opencarp_micrometres_become_millimetres_and_one_fibre_counts_for_all(tmp_path: Path) -> None:
    path = opencarp(tmp_path, elem="3\nTt 0 1 2 3 7\nTr 0 1 2\nTt 0 2 1 3\n", lon="1\n0 0.6 0.8\n")
    file = read_heart_file(path)
    assert file.nodes_mm.max() == 1.0
    np.testing.assert_allclose(file.fibres, [[0, 0.6, 0.8]] * 2)
    assert file.sheets is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"elem": "2\nTt 0 1 2 3\n"}, "announces 2 lines and has 1"),
        ({"elem": "1\nTr 0 1 2\n"}, "no tetrahedra"),
        ({"elem": "1\nTt 0 1 2 4\n"}, "count from 1"),
        ({"elem": "1\nTt 0 1 2 3\n", "pts": ""}, "m.pts is empty"),
        ({"elem": "1\nTt 0 1 2 3\n", "pts": "1\na b c\n"}, "m.pts holds lines"),
        ({"elem": "1\nTt 0 1 2 3\n", "lon": "1\n0 0 2\n"}, "length 2, need 1"),
        ({"elem": "1\nTt 0 1 2 3\n", "lon": "1\n1 0\n"}, "need 3 .* or 6"),
        ({"elem": "1\nTt 0 1 2 3\n", "lon": "1\n1 0 0\n1 0 0\n"}, "2 lines of vectors for 1"),
    ],
)
def test_damaged_opencarp_files_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_heart_file(opencarp(tmp_path, **files))


@pytest.mark.parametrize("suffix", [".vtu", ".vtk"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_hearts_are_refused(small_heart: Heart, tmp_path: Path, suffix: str, share: float) -> None:
    whole = write_mesh(tmp_path / f"whole{suffix}", small_heart.tets.tolist(), small_heart.nodes_mm).read_bytes()
    path = tmp_path / f"heart{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="heart") as caught:
        read_heart_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".vtp", ".vtk", ".stl", ".obj", ".ply"])
def test_empty_and_foreign_surfaces_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"skin{suffix}"
    for content in (b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="skin"):
            read_surface_file(path)


def test_unknown_endings_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.vtu, \.vtk, \.pts"):
        read_heart_file(tmp_path / "heart.foo")
    with pytest.raises(ValueError, match=r"\.stl"):
        read_surface_file(tmp_path / "heart.foo")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    nodes = NODES.copy()
    nodes[2, 1] = np.nan
    with pytest.raises(ValueError, match="not a finite number"):
        read_heart_file(write_mesh(tmp_path / "a.vtu", [[0, 1, 2, 3]], nodes))


def test_nodes_that_no_tetrahedron_uses_are_left_out(tmp_path: Path) -> None:
    file = read_heart_file(write_mesh(tmp_path / "a.vtu", [[0, 1, 2, 3]], fibre=[[0, 0, 1.0]]))
    np.testing.assert_array_equal(file.nodes_mm, NODES[:4])
    np.testing.assert_array_equal(file.tets, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(file.fibres, [[0, 0, 1]])


def test_a_fibre_that_is_not_of_unit_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="length 0, need 1"):
        read_heart_file(write_mesh(tmp_path / "a.vtu", [[0, 1, 2, 3]], fibre=[[0, 0, 0.0]]))


def test_tags_of_points_become_tags_of_triangles_by_majority(tmp_path: Path) -> None:
    skin = pv.PolyData.from_regular_faces(NODES, np.array([[0, 1, 2], [0, 1, 3], [2, 3, 4], [0, 2, 4]]))
    skin.point_data["class"] = np.array([2, 2, 1, 5, 3])
    skin.save(tmp_path / "a.vtp")
    file = read_surface_file(tmp_path / "a.vtp")
    np.testing.assert_array_equal(file.surface, [2, 2, 1, 1])


@pytest.mark.parametrize("suffix", [".vtp", ".vtk", ".stl", ".obj", ".ply"])
def test_a_surface_comes_back_in_every_format(tmp_path: Path, suffix: str) -> None:
    skin = pv.Sphere(radius=30)
    skin.save(tmp_path / f"a{suffix}")
    file = read_surface_file(tmp_path / f"a{suffix}")
    assert len(file.triangles) == skin.n_cells
    assert len(file.nodes_mm) == skin.n_points
    assert file.surface is None


@pytest.mark.parametrize(
    ("name", "tets", "triangles"), [("patients/crtdemo/heart.vtu", 17866, 6124), ("canine-lbbb/heart.vtu", 54300, None)]
)
def test_hearts_of_others_are_read(name: str, tets: int, triangles: int | None) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"needs ../shared/data/{name}")
    file = read_heart_file(DATA / name)
    assert len(file.tets) == tets
    assert (None if file.triangles is None else len(file.triangles)) == triangles
    assert file.fibres is not None


def test_the_stray_class_of_a_fine_surface_is_tolerated() -> None:
    path = DATA / "heart-geo1/heart_fine.vtp"
    if not path.exists():
        pytest.skip("needs ../shared/data/heart-geo1")
    file = read_surface_file(path)
    assert file.surface is not None
    assert set(np.unique(file.surface).tolist()) == {1, 2, 3, 4}

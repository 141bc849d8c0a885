"""Laws of tables of ECGs: what was written is read, and faults are told all at once."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ml.datasets import read_table, stack_rows
from ml.datasets.rows import EcgRow
from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.signals import as_signals
from tests.ml.dataset_files import ecg_file, good_rows, read_rows, scar_file, wfdb_record, written
from tests.ml.heartbeats import RATE_HZ, beats, recordings


def test_a_table_gives_signals_patients_labels_and_covariates_in_its_order(tmp_path: Path) -> None:
    rows = good_rows(tmp_path, age=[61, "", 70.5, 48], sex=["f", "m", "", "f"])
    table = read_rows(tmp_path, rows)
    signals, broad = recordings(4)
    np.testing.assert_array_equal(table.signals, as_signals(signals, STANDARD_LEADS, RATE_HZ))
    assert table.patients.tolist() == ["p0", "p0", "p1", "p1"]
    assert table.labels is not None
    assert table.labels.dtype == np.int64
    np.testing.assert_array_equal(table.labels, broad)
    np.testing.assert_array_equal(table.covariates["age"], [61, np.nan, 70.5, 48])
    assert table.covariates["sex"].tolist() == ["f", "m", "", "f"]
    assert list(table.covariates) == ["age", "sex"]
    assert table.note == "All 4 ECGs are 4000 ms long."
    assert table.sources[2] == "table.csv line 4 (2.csv)"
    assert (table.signals_after, table.times, table.events, table.scars, table.left_out) == (None, None, None, None, ())


def test_a_table_of_scar_needs_no_ecgs(tmp_path: Path) -> None:
    for i in range(3):
        scar_file(tmp_path / f"{i}.npz", seed=i)
    rows = [{"patient": f"p{i}", "scar": f"{i}.npz", "label": i % 2} for i in range(3)]
    table = read_rows(tmp_path, rows)
    assert table.slices is not None
    assert (table.signals.shape, table.slices.shape) == ((3, 12, 0), (3, 3, 2, 16, 16))
    assert table.labels is not None
    assert table.labels.tolist() == [0, 1, 0]
    assert table.sources[1] == "table.csv line 3 (1.npz)"
    assert table.note == "No ECGs."


def test_every_fault_of_scar_is_told_with_its_line(tmp_path: Path) -> None:
    for i, n in enumerate((3, 3, 11)):
        scar_file(tmp_path / f"{i}.npz", n=n)
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no")
    names = ["0.npz", "1.npz", "2.npz", "damaged.npz", "none.npz", ""]
    rows = [{"patient": "p", "scar": name} for name in names]
    with pytest.raises(ValueError, match="5 of 6 rows") as caught:
        read_rows(tmp_path, rows)
    told = str(caught.value).splitlines()[1:]
    for line, words in zip(
        told,
        (
            "line 3 (1.npz): the same scar as table.csv line 2 (0.npz)",
            "line 4 (2.npz): scar: 2.npz: 11 slices, need 3 to 10",
            "line 5 (damaged.npz): scar: damaged.npz: no .npz file of plain arrays",
            "line 6 (none.npz): scar: no file none.npz",
            "line 7 (no file): neither an ECG nor scar",
            "line 7 (no file): some rows have a scar and some have none",
        ),
        strict=True,
    ):
        assert line.strip().startswith(f"table.csv {words}")
    assert read_rows(tmp_path, rows, leave_out_faulty=True).patients.tolist() == ["p"]


def test_slices_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for i, size in enumerate((16, 32)):
        scar_file(tmp_path / f"{i}.npz", size=size)
    with pytest.raises(ValueError, match=r"slices of \(16, 16\) and \(32, 32\) pixels"):
        read_rows(tmp_path, [{"patient": "p", "scar": f"{i}.npz"} for i in range(2)])


def test_tabs_read_as_commas_do(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    tabbed = read_table(written(tmp_path / "table.tsv", rows, delimiter="\t"), sampling_hz=RATE_HZ)
    np.testing.assert_array_equal(tabbed.signals, read_rows(tmp_path, rows).signals)


def test_a_value_may_be_any_number_and_any_column_may_be_the_label(tmp_path: Path) -> None:
    rows = [{**row, "value": 0.5 * i} for i, row in enumerate(good_rows(tmp_path))]
    table = read_rows(tmp_path, rows, label="value")
    assert table.labels is not None
    assert table.labels.tolist() == [0, 0.5, 1, 1.5]
    assert "label" in table.covariates
    with pytest.raises(ValueError, match="both label and value"):
        read_rows(tmp_path, rows)


def test_leads_in_any_order_and_without_derived_ones_are_put_right(tmp_path: Path) -> None:
    signals, _ = recordings(2)
    kept = [STANDARD_LEADS.index(lead) for lead in ("V6", "V1", "V2", "V3", "V4", "V5", "II", "I")]
    ecg_file(tmp_path / "a.csv", signals[0])
    ecg_file(tmp_path / "b.csv", signals[1][kept], leads=[STANDARD_LEADS[i] for i in kept])
    table = read_rows(tmp_path, [{"patient": "a", "ecg": "a.csv"}, {"patient": "b", "ecg": "b.csv"}])
    np.testing.assert_allclose(table.signals, signals, atol=1e-5)
    assert table.labels is None


def test_all_recordings_get_one_rate(tmp_path: Path) -> None:
    signals, _ = recordings(1)
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=signals[0], rate_hz=RATE_HZ)
    write_csv(ecg.resampled(1000.0), tmp_path / "fast.csv")
    wfdb_record(tmp_path / "slow.hea", signals[0])
    rows = [{"patient": name, "ecg": name} for name in ("fast.csv", "slow.hea")]
    table = read_rows(tmp_path, rows)
    assert table.sampling_hz == RATE_HZ
    fast, slow = table.signals
    assert np.corrcoef(fast.ravel(), slow.ravel())[0, 1] > 0.995


def test_unequal_recordings_are_cut_to_the_shortest_and_the_note_says_so(tmp_path: Path) -> None:
    signals, _ = recordings(3)
    lengths = (1000, 700, 900)
    rows = [
        {"patient": i, "ecg": ecg_file(tmp_path / f"{i}.csv", signal[:, :length])}
        for i, (signal, length) in enumerate(zip(signals, lengths, strict=True))
    ]
    table = read_rows(tmp_path, rows)
    np.testing.assert_array_equal(table.signals, signals[:, :, :700].astype(np.float32))
    assert table.note == (
        "2 of 3 ECGs were cut to their first 2800 ms, the length of the shortest (table.csv line 3 (1.csv)); the longest "
        "has 4000 ms."
    )


def test_median_beats_do_not_depend_on_where_a_recording_starts_or_ends(tmp_path: Path) -> None:
    signals, _ = recordings(1)
    starts = (0, 60, 150)
    rows = [
        {"patient": i, "ecg": ecg_file(tmp_path / f"{i}.csv", signals[0][:, start : 1000 - 20 * i])}
        for i, start in enumerate(starts)
    ]
    table = read_rows(tmp_path, rows, length="beat")
    assert table.signals.shape[2] < RATE_HZ
    assert "the QRS onset of each at" in table.note
    for other in table.signals[1:]:
        np.testing.assert_allclose(other, table.signals[0], atol=0.06)


def test_beats_are_laid_on_top_of_each_other_wherever_they_begin(tmp_path: Path) -> None:
    signals, _ = beats(2)
    starts = (0, 10, 25)
    rows = [{"patient": i, "ecg": ecg_file(tmp_path / f"{i}.csv", signals[1][:, i:])} for i in starts]
    table = read_rows(tmp_path, rows, length="beat")
    for signal in table.signals:
        np.testing.assert_array_equal(signal, signals[1][:, 25:].astype(np.float32))


def test_one_beat_among_recordings_is_cut_only_to_beats(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    ecg_file(tmp_path / "1.csv", beats(2)[0][1])
    with pytest.raises(ValueError, match=r"line 3 \(1.csv\) holds one beat of 800 ms .*length='beat'"):
        read_rows(tmp_path, rows)
    assert len(read_rows(tmp_path, rows, length="beat").signals) == 4


def test_second_ecgs_scars_and_follow_up_come_along(tmp_path: Path) -> None:
    more = {"time": [1.5, 2, 3, 4], "event": [0, 1, 0, 1], "scar": [f"{i}.npz" for i in range(4)]}
    rows = good_rows(tmp_path, ecg_after=["3.csv", "2.csv", "1.csv", "0.csv"], **more)
    made = [scar_file(tmp_path / f"{i}.npz", n=3 + i % 2, seed=i) for i in range(4)]
    table = read_rows(tmp_path, rows)
    assert table.signals_after is not None
    np.testing.assert_array_equal(table.signals_after, table.signals[::-1])
    assert table.scars == tuple(tmp_path / f"{i}.npz" for i in range(4))
    assert table.slices is not None
    assert table.slices.shape == (4, 4, 2, 16, 16)
    for found, slices in zip(table.slices, made, strict=True):
        np.testing.assert_array_equal(found[: len(slices)], slices)
        assert np.isnan(found[len(slices) :]).all()
    assert table.times is not None
    assert table.events is not None
    assert table.times.tolist() == [1.5, 2, 3, 4]
    assert table.events.tolist() == [0, 1, 0, 1]
    assert table.covariates == {}


def test_all_faults_are_told_at_once_with_file_and_line(tmp_path: Path) -> None:
    signals, _ = recordings(8)
    text = (tmp_path / ecg_file(tmp_path / "gap.csv", signals[0])).read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([*text[:5], "16" + ",nan" * 12, *text[6:]]))
    ecg_file(tmp_path / "good.csv", signals[1])
    ecg_file(tmp_path / "again.csv", signals[1])
    ecg_file(tmp_path / "uv.csv", 1000 * signals[2])
    ecg_file(tmp_path / "v9.csv", signals[3], leads=[*STANDARD_LEADS[:-1], "V9"])
    ecg_file(tmp_path / "swapped.csv", signals[4][[1, 0, *range(2, 12)]])
    ecg_file(tmp_path / "nobody.csv", signals[5])
    names = ("good", "none", "gap", "uv", "v9", "swapped", "again", "nobody")
    rows = [{"patient": "" if name == "nobody" else "p", "ecg": f"{name}.csv", "label": 1} for name in names]
    rows.append({"patient": "p", "ecg": "", "label": "yes"})
    with pytest.raises(ValueError, match=r"^8 of 9 rows cannot be used:\n") as caught:
        read_rows(tmp_path, rows)
    told = str(caught.value).splitlines()[1:]
    for line, words in zip(
        told,
        (
            "line 3 (none.csv): ecg: no file none.csv",
            "line 4 (gap.csv): ecg: lead I has nan at sample 4",
            "line 5 (uv.csv): ecg: lead V",
            "line 6 (v9.csv): missing V6",
            "line 7 (swapped.csv): III, aVR, aVL and aVF of the ECG do not follow",
            "line 8 (again.csv): the same ECG as table.csv line 2 (good.csv)",
            "line 9 (nobody.csv): no patient",
            "line 10 (no file): label is 'yes', need a number",
            "line 10 (no file): the cell of ecg is empty",
        ),
        strict=True,
    ):
        assert line.strip().startswith(f"table.csv {words}")
    assert "looks like microvolts" in told[2]


def test_of_more_than_ten_faults_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [{"patient": "p", "ecg": f"{i}.csv"} for i in range(13)]
    with pytest.raises(ValueError, match="13 of 13 rows") as caught:
        read_rows(tmp_path, rows)
    assert len(str(caught.value).splitlines()) == 12
    assert str(caught.value).endswith("and 3 more")


def test_a_line_that_ends_early_has_empty_cells(tmp_path: Path) -> None:
    ecg_file(tmp_path / "a.csv", recordings(1)[0][0])
    (tmp_path / "table.csv").write_text("patient,ecg,label\np,a.csv\n")
    with pytest.raises(ValueError, match=r"line 2 \(a.csv\): label is '', need a number"):
        read_table(tmp_path / "table.csv")


def test_faulty_rows_are_left_out_and_told_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    rows[1]["ecg"] = "none.csv"
    table = read_rows(tmp_path, rows, leave_out_faulty=True)
    assert table.left_out == ("table.csv line 3 (none.csv): ecg: no file none.csv",)
    assert table.patients.tolist() == ["p0", "p1", "p1"]
    with pytest.raises(ValueError, match="no ECG to read; 1 rows were left out"):
        read_rows(tmp_path, rows[1:2], leave_out_faulty=True)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("event", [2, 0, 0, 0], "line 2 .*event is 2, need 1"),
        ("time", [0, 1, 1, 1], "line 2 .*time is 0, need > 0"),
        ("time", [1, "", 1, 1], "line 3 .*time is '', need a number"),
        ("label", [1, "inf", 1, 1], "line 3 .*label is 'inf', need a number"),
        ("scar", ["none.npz"] * 4, "line 2 .*scar: no file none.npz"),
        ("ecg_after", ["0.csv", "", "", ""], "line 3 .*some rows have an ecg_after"),
        ("ecg_after", ["", "0.csv", "", ""], "line 3 .*some rows have an ecg_after"),
    ],
)
def test_a_cell_that_cannot_be_used_is_told(tmp_path: Path, column: str, cells: list[object], message: str) -> None:
    rows = good_rows(tmp_path, time=[1] * 4, event=[0] * 4)
    with pytest.raises(ValueError, match=message):
        read_rows(tmp_path, [{**row, column: cell} for row, cell in zip(rows, cells, strict=True)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column patient; .* there are none"),
        ("patient;ecg\np;a.csv\n", "no column patient; .* there are patient;ecg"),
        ("patient,sex\np,f\n", "no column ecg; add it, or a column scar alone"),
        ("patient,scar,ecg_after\np,s.npz,a.csv\n", "no column ecg"),
        ("patient,ecg,ecg\n", "'ecg' occurs twice"),
        ("patient,ecg,\n", "has no name"),
        ("patient,ecg\np,a.csv,3\n", "line 2: more cells than the 2 columns"),
        ("patient,ecg,time\np,a.csv,3\n", "time and event belong together"),
        ("patient,ecg\n", "no ECG to read"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(tmp_path / "table.csv")
    assert "\n" not in str(caught.value)


def test_a_label_column_that_is_missing_is_told_before_any_ecg_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("patient,ecg,age\np,none.csv,3\n")
    with pytest.raises(ValueError, match=r"no column responder; .* patient, ecg, age"):
        read_table(tmp_path / "table.csv", label="responder")


def test_rows_can_be_cut_and_changed_before_they_are_read() -> None:
    signals, _ = recordings(3)
    made = [
        EcgRow(
            where=f"row {i}", patient="p", read=lambda s=signal: Ecg(leads=STANDARD_LEADS, signal_mv=s, rate_hz=RATE_HZ)
        )
        for i, signal in enumerate(signals)
    ]
    table = stack_rows((replace(row, patient=row.where) for row in islice(made, 2)), sampling_hz=RATE_HZ)
    assert table.patients.tolist() == ["row 0", "row 1"]


def test_a_second_ecg_without_a_first_is_refused() -> None:
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=recordings(1)[0][0], rate_hz=RATE_HZ)
    with pytest.raises(ValueError, match="row: a second ECG without a first"):
        stack_rows([EcgRow(where="row", patient="p", read=None, read_after=lambda: ecg)])

"""Slices on which the scar was drawn, for training `ScarSegmenter`: a table with the columns `patient` and `scar`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.datasets.plain import table_rows
from ml.datasets.scar import read_lge
from ml.lge_slices import Bool, Float32


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnSlices:
    """n slices of several patients in the common frame of `ml.lge_slices`.

    Attributes:
        slices: (n, 2, 128, 128) image and myocardium, for `ScarSegmenter(within_myocardium=True)`.
        masks: (n, 128, 128) scar.
        patients: (n,) names; cross-validation must keep the slices of one patient together.
    """

    slices: Float32
    masks: Bool
    patients: NDArray[np.str_]


def read_drawn(path: Path | str) -> DrawnSlices:
    """Read a table and every file that its column `scar` names; files as in `ml.datasets.scar`.

    Raises:
        FileNotFoundError: if there is no such table, or no such file.
        ValueError: in one line, naming file and line, if slices cannot be used or have no scar drawn.
    """
    slices, masks, patients = [], [], []
    for row in table_rows(Path(path), ("scar",)):
        if row.scar is None or not row.patient:
            raise ValueError(f"{row.where}: the cell of patient or scar is empty; fill it, or leave the line out")
        try:
            lge = read_lge(row.scar)
            if lge.scar is None:
                raise ValueError(f"{row.scar.name}: no array scar, which is what is to be learnt")
        except ValueError as error:
            raise ValueError(f"{row.where}: {error}") from None
        slices.append(lge.for_segmenter())
        masks.append(lge.scar)
        patients += [row.patient] * len(lge.scar)
    if not slices:
        raise ValueError(f"{Path(path).name}: no lines; add one per patient")
    return DrawnSlices(slices=np.concatenate(slices), masks=np.concatenate(masks), patients=np.array(patients))

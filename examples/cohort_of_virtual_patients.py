"""Does a plan choose well, where the truth is known? Makes virtual patients, plans them, and asks their truth.

    python examples/cohort_of_virtual_patients.py [PATIENTS]

The same from the shell: crt-twin virtual 4 patients --seed 7; crt-twin cohort patients plans
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]

from twin.planning.cohort import run_cohort
from twin.planning.virtual_cohort import write_virtual_cohort


def main() -> None:
    """Workers are processes of their own, which read this file too: so nothing happens at its top."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with tempfile.TemporaryDirectory() as folder:
        patients, plans = Path(folder) / "patients", Path(folder) / "plans"
        write_virtual_cohort(patients, number, seed=7)
        run = run_cohort(patients, plans)
        sites = pd.read_parquet(plans / "sites.parquet").merge(
            pd.read_parquet(patients / "truth.parquet"), on=["patient", "id"], how="left"
        )
    print(f"{run.ok} virtual patients planned, {run.failed} failed. Research use only.\n")
    print("chance of response (LVESV down by 15 % or more) as the model says [90 % interval], and in truth:")
    reachable = sites[sites["reachable"].fillna(False) & sites["response_probability"].notna()]
    for name, rows in sites.groupby("patient"):
        lead = rows[rows["id"] == "implanted"].iloc[0]
        known = reachable[reachable["patient"] == name].sort_values("response_probability", ascending=False)
        print(f"{name}: implanted {_said(lead)}; best {_said(known.iloc[0]) if len(known) else 'the model abstains'}")


def _said(row: "pd.Series[object]") -> str:
    if pd.isna(row["response_probability"]):
        return f"at {row['id']} the model abstains, truth {row['true_probability']:.2f}"
    model = f"{row['response_probability']:.2f} [{row['response_low']:.2f}, {row['response_high']:.2f}]"
    return f"at {row['id']} {model}, truth {row['true_probability']:.2f}"


if __name__ == "__main__":
    main()

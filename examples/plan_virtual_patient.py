"""Where would a lead help this virtual patient? Makes one, plans it, and saves pictures of its activation and its ECG.

python examples/plan_virtual_patient.py [FOLDER FOR PICTURES] [EDGE LENGTH IN MM]
"""

import shutil
import sys
import tempfile
from pathlib import Path

from twin.planning.plan import plan_patient
from twin.planning.report.figures import compared_beats, ecg_figure, png
from twin.planning.report.pictures import render_pictures
from twin.planning.virtual import write_virtual_patient

pictures = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/plan_virtual_patient")
edge_mm = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
pictures.mkdir(parents=True, exist_ok=True)

with tempfile.TemporaryDirectory() as scratch:
    patient, out = Path(scratch) / "patient", Path(scratch) / "plan"
    write_virtual_patient(patient, seed=1)
    plan = plan_patient(patient, out, [("example", {"edge_mm": edge_mm, "pictures": False})])

    print(f"{plan.content['patient']} (a virtual patient): {plan.content['answer']}")
    for site in plan.content["sites"][:5]:
        print(
            f"  rank {site['rank']}  {site['id']:5} {site['vein']:30} index {site['index_ms']:.0f} ms, "
            f"{site['gain_over_lateral_ms']:+.0f} ms against the standard lateral site"
        )

    png(ecg_figure(compared_beats(plan.recorded, plan.twins[0].ecg)), pictures / "ecg.png", dpi=110)
    drawn = render_pictures(out / "heart.vtu", patient / "veins.vtp", plan.content["sites"], Path(scratch), 300.0)
    for warning in drawn.warnings:
        print(warning)
    for picture in drawn.pictures:
        shutil.copy(picture.path, pictures)
print(f"pictures in {pictures}")

"""What does pacing one place do to a heart with left bundle branch block? Compares both beats and saves their ECGs."""

from pathlib import Path

import numpy as np

from anatomy.build import complete_heart
from anatomy.heart import Surface
from anatomy.meshing import mesh_label_map
from anatomy.phantom import Phantom
from anatomy.sites import node_by_coordinates
from anatomy.torso import electrodes_by_rule
from ml.ecg.measure import qrs_bounds
from twin.activation import Activation, CaptureLatency, biventricular
from twin.conduction import Conduction
from twin.dyssynchrony import DyssynchronyMeter
from twin.eikonal import Eikonal
from twin.leadfield import LeadField
from twin.planning.report.figures import ecg_figure, png
from twin.rhythm import RHYTHMS, start_nodes

meshed = mesh_label_map(Phantom(scar_radius_mm=0).label_map(voxel_mm=1.5), edge_mm=2.5)
heart = complete_heart(meshed.mesh, tissue=meshed.tissue)
eikonal = Eikonal(heart, Conduction(rv_endocardium_m_per_s=1.8))

nodes, start_ms = start_nodes(heart, RHYTHMS["lbbb"].starts)
intrinsic = Activation(times_ms=eikonal.solve(nodes, start_ms))

lateral = node_by_coordinates(heart, Surface.EPICARDIUM, apicobasal=0.6, rotational=1 / 3)
apex = node_by_coordinates(heart, Surface.RV_ENDOCARDIUM, apicobasal=0.15, rotational=5 / 6)
from_lv, from_rv = eikonal.solve_each(np.array([lateral, apex]))
paced = biventricular(from_lv, from_rv, vv_delay_ms=-20, latency=CaptureLatency())

meter, lead_field = DyssynchronyMeter(heart), LeadField(heart, electrodes_by_rule(heart))
ecgs = {}
for name, beat in (("LBBB", intrinsic), ("biventricular pacing", paced)):
    ecgs[name] = lead_field.ecg(beat)
    found = meter.measure(beat)
    print(
        f"{name:21} QRS {qrs_bounds(ecgs[name]).duration_ms:4.0f} ms   total {found.tat_ms:4.0f} ms   "
        f"LVAT95 {found.lvat95_ms:4.0f} ms   left after right {found.interventricular_ms:+4.0f} ms"
    )

picture = Path("examples/out/pace_one_site.png")
picture.parent.mkdir(parents=True, exist_ok=True)
png(ecg_figure(list(ecgs.items())), picture, dpi=110)
print(f"both ECGs in {picture}")

"""Do two groups, found from the shape of the QRS alone, fare differently after CRT? Virtual patients, beside Feeny 2020.

    python examples/group_by_qrs_shape.py [PATIENTS SEEDS]

Without numbers a small version runs. The groups know no outcome; group 1 lies higher on the first component.
"""

import sys

from ml.evaluation import PUBLISHED, hazard_ratio
from ml.qrs_pca import QrsPca
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds = [int(word) for word in sys.argv[1:]] or (64, 2)
people = virtual_ecgs(patients, seed=1, question="crt-response")
change, years, died = (people.outcomes[name] for name in ("lvef_change_points", "time", "event"))
(published,) = PUBLISHED["qrs-pca"]

print(f"{patients} virtual patients, {died.sum():.0f} deaths. Research use only.\n")
print("| start of k-means | patients in group 0, 1 | LVEF change 0 | LVEF change 1 | hazard of 1 to 0 [95 %] |")
print("| --- | --- | --- | --- | --- |")
for seed in range(seeds):
    model = QrsPca(sampling_hz=people.sampling_hz, random_state=seed).fit(people.signals)
    groups = [model.labels_ == group for group in (0, 1)]
    changes = " | ".join(f"{change[here].mean():+.1f} ± {change[here].std(ddof=1):.1f}" for here in groups)
    ratio = hazard_ratio(model.labels_, years, died).ratio
    sizes = ", ".join(str(here.sum()) for here in groups)
    print(f"| {seed} | {sizes} | {changes} | {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] |")
# Changes of LVEF: same source as the ratio. Which of our groups is which of theirs cannot be known.
print(
    f"| {published.study} | 425, 521 | +4.8 ± 9.7 | +11.1 ± 11.7 | {published.values['hazard_ratio']:g} [0.38, 0.53] |"
)
print(f"\nPublished: {published.patients} real patients, {published.remark}.")
print("There the groups stand in the order of their outcome, here in that of their QRS. Change in points of LVEF.")
responded = [100 * people.labels[here].mean() for here in groups]
print(f"Of these virtual patients {responded[0]:.0f} % of group 0 and {responded[1]:.0f} % of group 1 respond.")

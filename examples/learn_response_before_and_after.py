"""Which ECG tells the response to CRT: before, after or both, and what does a glance at the scored fold add?

    python examples/learn_response_before_and_after.py [PATIENTS SEEDS EPOCHS]

Le's composite net on virtual patients. Without numbers a small version runs; 196 1 100 is the published size. The
published training seems to have stopped where the fold that was then scored looked best. `evaluate` shows no fold to a
model; the loop below does, on the same folds.
"""

import sys
from operator import itemgetter

import numpy as np
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml.evaluation import PUBLISHED, PatientFolds, evaluate
from ml.evaluation.comparison import corrected_t
from ml.evaluation.report import text
from ml.network_classifier import CompositeClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs = [int(word) for word in sys.argv[1:]] or (64, 2, 5)
people = virtual_ecgs(patients, seed=1, question="crt-response")
signals, labels = np.concatenate([people.signals, np.asarray(people.after)], axis=1), people.labels

# So few epochs need longer steps than the published ones.
one = CompositeClassifier(sampling_hz=people.sampling_hz, max_epochs=epochs, learning_rate=1e-3)
both = clone(one).set_params(recordings=2)
leads = {"before": (slice(None), slice(12)), "after": (slice(None), slice(12, 24))}
models = {name: make_pipeline(FunctionTransformer(itemgetter(rows)), one) for name, rows in leads.items()}
published = PUBLISHED["composite"]
result = evaluate(models | {"both": both}, signals, labels, seeds=seeds, published=published, virtual=True)
print(result.table())
print(f"The best that a model of the ECG before is expected to reach here: AUC {people.ceiling_auc:.2f}.\n")

glanced = []
for seed in range(seeds):
    for train, test in PatientFolds(5, random_state=seed).split(None, labels):
        fold = people.signals[test], labels[test]
        model = clone(one).set_params(random_state=seed).fit(people.signals[train], labels[train], watched=fold)
        glanced.append(roc_auc_score(labels[test], model.predict_proba(people.signals[test])[:, 1]))
nested = result["before"].by_fold["auc"].ravel()
gain = corrected_t(np.array(glanced) - nested, test_over_train=1 / 4).estimate
print("## When to stop, for the ECG before: AUC, mean ± standard deviation over folds of virtual patients\n")
print(
    f"- where a fifth of the training patients looks best (nested, above): {nested.mean():.3f} ± {nested.std(ddof=1):.3f}"
)
print(f"- where the scored fold looks best (optimistic): {np.mean(glanced):.3f} ± {np.std(glanced, ddof=1):.3f}")
print(f"- published, it seems the second way, of 196 real patients: {published[0].values['auc']:g}")
print(
    f"- second minus first: {text(gain)}, corrected t over folds; the second way also learns from all training patients"
)

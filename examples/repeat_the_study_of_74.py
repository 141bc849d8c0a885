"""Which accuracy could a study of 74 patients have seen by chance? Repeats it on virtual patients of the shipped pool.

    python examples/repeat_the_study_of_74.py [REPEATS]

The same with a page of figures: crt-twin study digital-twin --out DIR
"""

import sys

from twin.planning.response_cohort import read_cohort
from twin.planning.study import repeat_study
from twin.planning.study_page import answers
from twin.planning.study_plans import STUDIES

repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
recipe = STUDIES["digital-twin"]
pool = read_cohort(None, None, recipe.label)
result = repeat_study(recipe, pool, repeats=repeats, seed=0, told=lambda *_: None)
print(f"{recipe.title}, repeated {repeats} times on virtual patients. Research use only.\n")
print(*answers(result), sep="\n")

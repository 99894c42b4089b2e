"""A is one data set, `split.a`, and B another, `data`: all classes of each.

The paper's question with tasks that share no image: which layers of a network for A serve B.
Classes of both may have the same names; they are two tasks all the same.
"""

from transferlab.experiment.splits.split import SplitRule
from transferlab.experiment.splits.whole import all_classes

DATASETS = SplitRule(all_classes, second=True)

"""A is a network that was trained elsewhere, `split.weights`, and B all classes of the user's data.

It is the base of AnB and AnB+, and is never trained here: A has no images.
"""

from transferlab.experiment.splits.split import SplitRule
from transferlab.experiment.splits.whole import all_classes

PRETRAINED = SplitRule(all_classes, halves="AB", weights=True)

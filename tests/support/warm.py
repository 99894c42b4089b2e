"""What the server of forked trainings imports last: the rest of what a first training loads.

Torch imports its compiler, and tensors of several devices, when a network is first examined, which
would be a quarter of the time of a test's training.
"""

from support import forked

from transferlab import models
from transferlab.models import shapes
from transferlab.training import cost

cost.MOST_STEPS = forked.MEASURED  # in the processes forked from this one
shapes.stages(models.build("alexnet_small", num_outputs=2, image_size=16), 16)

"""Features of a stage of a finished run, as samples for a linear classifier.

Chatfield et al. 2014, Sec. 3.2: the output of a layer after its ReLU, of each view of an image,
pooled over the views and L2-normalised. A stage that gives a map is averaged over its places.

Shapes: N images, V views, D features, M samples; H, W pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transferlab.errors import UserError
from transferlab.evaluation.pooling import CENTRE, FLAT, MAXIMUM, STACKED, SUM
from transferlab.evaluation.reading import Seen, Sight
from transferlab.evaluation.scorer import Scorer, alike
from transferlab.models.stages import StagedNetwork
from transferlab.runtime import bfloat16

LEAST = 1e-12  # of a norm
Update = Callable[[int], object]


@dataclass(frozen=True)
class Samples:
    """features: (M, D) float32. labels: (M,) or (M, K), those of the image of each sample.

    Of pooled views M is the number of images, in their order.
    """

    features: np.ndarray
    labels: np.ndarray
    images: int
    skipped: dict[str, str]

    @staticmethod
    def together(parts: Iterable["Samples"]) -> "Samples":
        """The samples of several sets of images, one below the other."""
        listed = list(parts)
        return Samples(
            np.concatenate([part.features for part in listed]),
            np.concatenate([part.labels for part in listed]),
            sum(part.images for part in listed),
            {name: sha for part in listed for name, sha in part.skipped.items()},
        )


def depth_of(network: StagedNetwork, stage: str | None, *, run: str) -> int:
    """The number of stages up to and including `stage`; by default all but the classifier.

    Raises: UserError for a stage that the network does not have, or that is its classifier.
    """
    names = network.stage_names[:-1]
    if stage is None:
        return len(names)
    if stage not in names:
        raise UserError(
            f"--stage {stage} is no stage of {run} below its classifier: choose one of "
            f"{', '.join(names)}"
        )
    return names.index(stage) + 1


def samples(
    batches: Iterable[Seen],
    sight: Sight,
    scorer: Scorer,
    network: nn.Module,
    *,
    pooling: str,
    l2: bool,
    update: Update,
) -> Samples:
    """The samples of all images. `scorer` makes inputs and views, `network` their features.

    pooling: a letter of `pooling.CODES`. update: called with the number of images done.
    """
    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    skipped: dict[str, str] = {}
    images = 0
    for batch in batches:
        skipped |= batch.skipped
        views = _views(scorer, network, batch.images[sight], centre=pooling == CENTRE)
        for views_of_image, label in zip(views, batch.labels, strict=True):
            found = pooled(views_of_image, pooling, l2=l2).numpy()
            features.append(found)
            labels += [label] * len(found)
        images += len(batch.labels)
        update(images + len(skipped))
    if not images:
        raise UserError("none of the images can be read: is data.root the right one?")
    return Samples(np.concatenate(features), np.array(labels), images, skipped)


def pooled(views: Tensor, code: str, *, l2: bool) -> Tensor:
    """The samples (M, D) of the views (V, D) of one image; of several, M is V.

    With `l2` every sample has the norm 1, and so has every view before views are pooled.
    """
    if l2:
        views = nn.functional.normalize(views, dim=1, eps=LEAST)
    if code in (FLAT, CENTRE):
        return views
    together = {
        SUM: lambda: views.sum(dim=0),
        MAXIMUM: lambda: views.amax(dim=0),
        STACKED: lambda: views.flatten(),
    }[code]()[None]
    return nn.functional.normalize(together, dim=1, eps=LEAST) if l2 else together


@torch.no_grad()
def _views(
    scorer: Scorer, network: nn.Module, pixels: Sequence[np.ndarray], *, centre: bool
) -> list[Tensor]:
    """For each image (H, W, 3) uint8 the features (V, D) float32 of its views, on the processor."""
    found: dict[int, Tensor] = {}
    for places in alike(pixels):
        inputs = scorer.inputs(np.stack([pixels[place] for place in places]))
        views = []
        for crop in scorer.crops_of(inputs, "centre" if centre else None):
            with bfloat16.autocast(scorer.device, scorer.classifier.precision):
                features = network(crop).float()  # (B, D), or a map (B, D, H, W)
            views.append((features.mean(dim=(2, 3)) if features.ndim == 4 else features).flatten(1))
        found |= zip(places, torch.stack(views, dim=1).cpu(), strict=True)
    return [found[place] for place in range(len(pixels))]

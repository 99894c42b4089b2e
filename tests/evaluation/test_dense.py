"""Dense networks against a slow reference, which moves the fully connected layers over the map."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from transferlab import models
from transferlab.errors import UserError
from transferlab.evaluation.dense import DenseNetwork
from transferlab.models.initial import he
from transferlab.models.stages import Stage, StagedNetwork

SIZE = 32


def network(name: str) -> StagedNetwork:
    built = models.build(name, num_outputs=5, image_size=SIZE)
    built.initialise(len)
    return built.eval()


def images(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def small(*layers: nn.Module, classifier: nn.Module) -> StagedNetwork:
    """A convolution, the layers, and the classifier, as three stages."""
    conv = Stage({"conv": nn.Conv2d(3, 4, 3, padding=1)}, he())
    middle = Stage({str(place): layer for place, layer in enumerate(layers)}, he())
    last = Stage({"fc": classifier}, he())
    built = StagedNetwork({"conv1": conv, "middle": middle, "last": last})
    built.initialise(len)
    return built.eval()


@pytest.mark.parametrize(("name", "stages", "side"), [("alexnet_small", 5, 4), ("vgg_small", 4, 2)])
@torch.no_grad()
def test_fully_connected_layers_move_over_the_whole_image(name: str, stages: int, side: int):
    built, x = network(name), images(48, 64)
    features, head = built.prefix(stages)(x), built.head(stages)
    rows, columns = (n - side + 1 for n in features.shape[2:])
    logits = [
        head(features[:, :, row : row + side, column : column + side])
        for row in range(rows)
        for column in range(columns)
    ]
    assert len(logits) > 1

    dense = DenseNetwork(built, name="baseB", size=SIZE)

    torch.testing.assert_close(dense(x), torch.stack(logits).mean(dim=0), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_networks_with_global_pooling_take_the_whole_image_as_they_are():
    for name in ("nin_small", "resnet_small", "densenet_small"):
        built, x = network(name), images(40, 52)
        assert torch.allclose(DenseNetwork(built, name="baseB", size=SIZE)(x), built(x), atol=1e-6)


@torch.no_grad()
def test_a_pooling_to_the_size_that_the_map_has_is_left_out():
    pool, flatten = nn.AdaptiveAvgPool2d((4, 4)), nn.Flatten()
    built = small(nn.MaxPool2d(2), pool, flatten, classifier=nn.Linear(4 * 4 * 4, 5))
    dense = DenseNetwork(built, name="baseB", size=8)
    windows = [images(8, 12)[..., column : column + 8] for column in (0, 2, 4)]

    # The windows see zeros beyond their edges, and the whole image more of itself: only its map
    # of 4 x 6 is compared, through the layers after the padding
    features = built.stages["middle"][0](built.stages["conv1"](images(8, 12)))
    logits = [built.stages["last"](features[..., c : c + 4].flatten(1)) for c in range(3)]
    torch.testing.assert_close(
        dense(images(8, 12)), torch.stack(logits).mean(dim=0), rtol=1e-5, atol=1e-5
    )
    assert torch.allclose(dense(windows[0]), built(windows[0]), atol=1e-6)


class OfEachPixel(nn.Module):
    """A fully connected layer over the channels of each pixel, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@torch.no_grad()
def test_layers_over_the_channels_of_a_pixel_stay_as_they_are():
    pooled = small(OfEachPixel(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier=nn.Linear(4, 5))
    dense = DenseNetwork(pooled, name="baseB", size=8)

    x = images(4, 12)  # 4 pixels, and 4 channels
    assert torch.allclose(dense(x), pooled(x), atol=1e-6)


class Position(nn.Module):
    """Adds a value of its own to each pixel of an image of 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.values = torch.ones(1, 4, 8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.values


class Transposed(nn.Module):
    """Flattens with the channels last, as no convolution does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


@pytest.mark.parametrize(
    ("layers", "stage", "reason"),
    [
        (lambda: (Position(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "middle", r"The size of"),
        (lambda: (nn.AdaptiveAvgPool2d(2), nn.Flatten()), "middle", r"pools maps of any size to 2"),
        (lambda: (Transposed(),), "last", r"256 inputs are not a map of 16 channels"),
    ],
)
def test_a_stage_that_takes_one_size_only_is_named(
    layers: Callable[[], tuple[nn.Module, ...]], stage: str, reason: str
):
    inputs = {"The size of": 4, "pools": 16, "256": 256}
    size = next(count for text, count in inputs.items() if reason.startswith(text))
    built = small(*layers(), classifier=nn.Linear(size, 5))

    with pytest.raises(
        UserError,
        match=rf"^--dense cannot be asked of A3B 0123: its stage {stage} takes only images of 8 "
        rf"pixels \(.*{reason}.*\); use --crops$",
    ):
        DenseNetwork(built, name="A3B 0123", size=8)


def test_a_dense_network_that_computes_something_else_is_refused():
    class Reversed(nn.Module):
        """Flattens the channels in reverse order: the sizes agree, the weights do not."""

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).flip(1)

    built = small(nn.MaxPool2d(2), Reversed(), classifier=nn.Linear(4 * 16, 5))

    with pytest.raises(UserError, match=r"stage last .*\(other logits at 8 pixels\)"):
        DenseNetwork(built, name="baseB", size=8)

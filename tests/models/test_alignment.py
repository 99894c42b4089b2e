"""How a network differs from a library's of the same name, in words."""

from torch import nn

from transferlab.models import operations, reference
from transferlab.models.alignment import differences
from transferlab.models.normalisation import LocalResponseNorm


def words(ours: nn.Module, theirs: nn.Module) -> list[str]:
    return differences(operations.table(ours, 16), operations.table(theirs, 16))


def small(channels: int = 8, stride: int = 1, *more: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride, padding=1), nn.ReLU(), *more, nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(channels, 2),
    )  # fmt: skip


def test_networks_with_the_same_operations_do_not_differ():
    assert words(small(), small()) == []


def test_totals_come_first_and_then_what_differs_where():
    assert words(small(), small(channels=6)) == [
        "parameters: 182 instead of 242 (-60)",
        "multiply-accumulates: 41,484 instead of 55,312 (-13,828)",
        "output channels 6 instead of 8: 0, 2",
    ]


def test_batch_normalisation_and_biases_are_one_line_for_all():
    normalised = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip

    assert words(small(), normalised) == [
        "parameters: 250 instead of 242 (+8)",
        "batch normalisation with 1 of 2 operations with weights instead of 0 of 2",
        "a bias with 1 of 2 operations with weights instead of 2 of 2",
    ]


def test_another_layer_that_is_normalised_too_is_no_difference_of_all():
    def deep(count: int) -> nn.Sequential:
        layers = [m for _ in range(count) for m in (nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(768, 2))

    assert words(deep(1), deep(2))[2:] == ["in addition 1 conv+bn: 0"]


def test_what_only_one_of_them_has_is_named_and_dropout_by_what_it_precedes():
    ours = small(8, 1, LocalResponseNorm(5, 1e-4, 0.75, 2.0))
    theirs = small(8, 1, nn.Dropout(0.2))

    assert words(ours, theirs) == [
        "in addition dropout(0.2) before 5: 2",
        "without lrn(n=5 k=2 alpha=2e-5 beta=0.75): 2",
    ]


def test_a_stride_in_another_place_changes_the_map_and_no_parameter():
    def bottleneck(first: int, second: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 4, 1, first), nn.Conv2d(4, 4, 3, second, padding=1))

    assert words(bottleneck(2, 1), bottleneck(1, 2)) == [
        "multiply-accumulates: 12,288 instead of 9,984 (+2,304)",
        "stride 1 instead of 2: 0",
        "map 16 instead of 8: 0",
        "stride 2 instead of 1: 1",
    ]


def test_a_difference_in_many_places_names_the_first_of_them():
    def deep(kernel: int) -> nn.Sequential:
        return nn.Sequential(*(nn.Conv2d(3, 3, kernel, padding=kernel // 2) for _ in range(8)))

    assert words(deep(1), deep(3))[-2:] == [
        "kernel 3 instead of 1: 0, 1, 2, 3 and 4 more",
        "padding 1 instead of 0: 0, 1, 2, 3 and 4 more",
    ]


def test_the_libraries_googlenet_has_auxiliary_heads_and_takes_224_pixels():
    theirs = reference.network("torchvision", "googlenet", num_outputs=1000)

    assert theirs.image_size == 224
    assert (theirs.table.parameters, theirs.table.auxiliary_parameters) == (6_624_904, 6_379_984)

"""Names of stages from the paths of their modules."""

import torch

from transferlab.models.libraries.cutting import Piece
from transferlab.models.libraries.naming import names


def piece(group: int, *targets: str) -> Piece:
    return Piece(torch.fx.Graph(), targets, targets[-1], group)


def test_a_stage_has_the_shortest_path_that_no_other_stage_shares():
    found = [
        piece(0, "features.conv0", "features.norm0"),
        piece(1, "features.denseblock1.layers"),
        piece(2, "features.stages.0.blocks.0"),
        piece(3, "features.stages.1.blocks.0"),
        piece(4, "stages"),
        piece(5, "head"),
        piece(6, "fc"),
    ]

    assert names(found) == [
        ("conv0", None), ("denseblock1", None), ("features_stages_0", None),
        ("features_stages_1", None), ("stages_2", None), ("head_2", None), ("classifier", None),
    ]  # fmt: skip


def test_stages_of_one_group_have_names_within_it():
    found = [
        piece(0, "stem.conv"),
        piece(1, "layer1.0"),
        piece(1, "layer1.1"),
        piece(2, "layer2.downsample.0", "layer2.blocks.0"),
        piece(2, "layer2.blocks.1.norm", "layer2.blocks.1.fc"),
        piece(3, "fc"),
    ]

    assert names(found) == [
        ("stem", None), ("layer1", "0"), ("layer1", "1"), ("layer2", "blocks_0"),
        ("layer2", "blocks_1"), ("classifier", None),
    ]  # fmt: skip

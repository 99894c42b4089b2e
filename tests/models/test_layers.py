"""Every operation of every network of the lecture, against tables computed from the papers.

layers.csv.gz has a row for each operation of 72 networks, in order: what is fused, kernel, stride,
padding, groups, channels, map, jump, receptive field, neurons, parameters, multiply-accumulates.
"""

import csv
import functools
import gzip
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from transferlab import models
from transferlab.models import maps, operations
from transferlab.models.operations import Operation, Table
from transferlab.models.zoo import NETWORKS, published

Row = dict[str, str]
COLUMNS = (
    "op", "kernel", "stride", "pad", "groups", "in_ch", "out_ch", "map", "jump", "receptive_field",
    "neurons", "params", "macs",
)  # fmt: skip
# (system, variant) of the table -> the network here
VARIANTS = {
    ("alexnet", "krizhevsky2012"): "alexnet2012",
    ("alexnet", "caffe_bvlc_alexnet"): "alexnet2012",
    ("alexnet", "one_weird_trick_torchvision"): "torchvision:alexnet",
    ("caffenet", "bvlc_reference"): "alexnet",
    ("zfnet", "fig3"): "zfnet",
    ("zfnet", "wide_512_1024_512"): "zfnet_wide",
    ("overfeat", "fast"): "overfeat_fast",
    ("overfeat", "accurate"): "overfeat_accurate",
    ("chatfield", "cnn_f"): "cnn_f",
    ("chatfield", "cnn_m"): "cnn_m",
    ("chatfield", "cnn_m_2048"): "cnn_m_2048",
    ("chatfield", "cnn_m_1024"): "cnn_m_1024",
    ("chatfield", "cnn_m_128"): "cnn_m_128",
    ("chatfield", "cnn_m_gs"): "cnn_m",
    ("chatfield", "cnn_s"): "cnn_s",
    ("vgg", "A"): "vgg_a",
    ("vgg", "A-LRN"): "vgg_a_lrn",
    ("vgg", "B"): "vgg_b",
    ("vgg", "C"): "vgg_c",
    ("vgg", "D"): "vgg_d",
    ("vgg", "E"): "vgg_e",
    ("nin", "imagenet"): "nin",
    ("nin", "cifar10"): "nin_cifar",
    ("googlenet", "v1_aux"): "googlenet",
    ("bn_inception", "inception_no_bn"): "inception_no_bn",
    ("bn_inception", "bn_x5_x30"): "bn_inception",
    ("bn_inception", "bn_x5_sigmoid"): "bn_inception_sigmoid",
    ("bn_inception", "bn_baseline"): "bn_inception_baseline",
    ("bn_inception", "fig5_literal_pool_proj_128"): "bn_inception_figure5",
    ("bn_inception", "separable_conv1"): "bn_inception_separable",
    ("inception_v3", "tf_torchvision"): "inception_v3",
    ("inception_v4", "paper_tfslim"): "inception_v4",
    ("inception_resnet_v2", "released_tfslim"): "inception_resnet_v2",
    ("inception_resnet_v2", "paper_fig15"): "inception_resnet_v2_paper",
    **{("cifar_plain", f"plain{n}"): f"cifar_plain{n}" for n in (20, 32, 44, 56, 110)},
    **{("cifar_resnet", f"resnet{n}"): f"cifar_resnet{n}" for n in (20, 32, 44, 56, 110)},
    ("plain_imagenet", "plain18"): "plain18",
    ("plain_imagenet", "plain34"): "plain34",
    ("resnet", "resnet18_A"): "resnet18_a",
    ("resnet", "resnet18_B"): "resnet18",
    ("resnet", "resnet34_A"): "resnet34_a",
    ("resnet", "resnet34_B"): "resnet34",
    ("resnet", "resnet34_C"): "resnet34_c",
    **{("resnet", name): name for name in ("resnet50", "resnet101", "resnet152")},
    **{("resnet", name): name for name in ("resnet50_v1.5", "resnet101_v1.5", "resnet152_v1.5")},
    **{("densenet", f"densenet{n}"): f"densenet{n}" for n in (121, 169, 201, 264, 161)},
    ("densenet_cifar", "densenet_L40_k12"): "cifar_densenet40",
    ("densenet_cifar", "densenet_L100_k12"): "cifar_densenet100",
    ("densenet_cifar", "densenet_L100_k24"): "cifar_densenet100_k24",
    ("densenet_cifar", "densenet_bc_L100_k12"): "cifar_densenet_bc100",
    ("densenet_cifar", "densenet_bc_L250_k24"): "cifar_densenet_bc250_k24",
    ("densenet_cifar", "densenet_bc_L190_k40"): "cifar_densenet_bc190_k40",
    ("wide_resnet", "wrn_16_8"): "wrn_16_8",
    ("wide_resnet", "wrn_28_10"): "wrn_28_10",
    ("wide_resnet", "wrn_40_4"): "wrn_40_4",
    ("preact_resnet", "preact_resnet164"): "preact_resnet164",
}
# Where network and table differ: the columns by the names of rows, and why
DIFFERENCES: dict[tuple[str, str], tuple[dict[str, str], str]] = {
    ("alexnet", "caffe_bvlc_alexnet"): (
        {"norm[12]": "op"},
        "no network of its own: alexnet2012, whose normalisation has k = 2 and alpha 1e-4",
    ),
    ("alexnet", "one_weird_trick_torchvision"): (
        {"(fc|drop)[67]": " ".join(COLUMNS)},
        "torchvision drops the inputs of fc6 and fc7, the table their outputs",
    ),
    ("caffenet", "bvlc_reference"): (
        {"pool[125]": "op"}, "Caffe's pooling rounds up, which changes no size at 227 pixels"
    ),
    ("zfnet", "fig3"): ({"pool5": "op"}, "every pool rounds up, which changes no size of 13"),
    ("zfnet", "wide_512_1024_512"): ({"pool5": "op"}, "as fig3"),
    ("preact_resnet", "preact_resnet164"): (
        {
            r"stage[23]\.1/(1x1a|3x3)": "stride map jump receptive_field neurons macs",
            r"stage[23]\..*|norm_final|avgpool|fc": "receptive_field",
        },
        "the table has the stride of a unit in its 3x3 convolution, the code that it names in the "
        "first 1x1 (KaimingHe/resnet-1k-layers, resnet-pre-act.lua)",
    ),
}  # fmt: skip


# Before global pooling or the first fully connected layer: Araujo, Norris, Sim, Distill 2019
PUBLISHED_FIELDS = {
    "alexnet2012": 195,
    "vgg_d": 212,
    "resnet50": 483,
    "resnet101": 1027,
    "resnet152": 1507,
    "bn_inception": 699,
    "inception_v3": 1311,
    "inception_v4": 2071,
    "inception_resnet_v2": 3039,
}


@functools.cache
def expected() -> dict[tuple[str, str], list[Row]]:
    rows: dict[tuple[str, str], list[Row]] = {}
    with gzip.open(Path(__file__).with_name("layers.csv.gz"), "rt") as file:
        for row in csv.DictReader(file):
            row["map"] = maps.text([row["out_h"], row["out_w"]])
            row["op"] = kinds(row["op"])
            rows.setdefault((row["system"], row["variant"]), []).append(row)
    return rows


def kinds(op: str) -> str:
    """Without what the table says of its sources, and 0.20 as 0.2."""
    op = op.replace(" (constants not given in paper)", "")
    return re.sub(r"scale\(([\d.]+)\)", lambda match: f"scale({float(match[1]):g})", op)


def found(op: Operation) -> Row:
    values = (
        kinds(op.op), op.kernel, op.stride, op.pad, op.groups, op.in_channels, op.out_channels,
        op.map_text, op.jump_text, op.field_text, op.neurons, op.parameters, op.macs,
    )  # fmt: skip
    texts = ("" if value is None else str(value) for value in values)
    return dict(zip(COLUMNS, texts, strict=True))


def network(name: str, key: tuple[str, str]) -> tuple[nn.Module, int, int]:
    """On the meta device; with the pixels a side and the channels of its images."""
    facts = published.NETWORKS.get(name)
    size, outputs = (facts.image_size, facts.outputs) if facts else (224, 1000)
    with torch.device("meta"):
        made = models.build(name, num_outputs=outputs, image_size=size)
        if key[1] == "cnn_m_gs":  # the same network, of grey images
            made.stages["conv1"].conv = nn.Conv2d(1, 96, 7, stride=2)
            return made, size, 1
    return made, size, 3


def excused(key: tuple[str, str], name: str) -> set[str]:
    """The columns in which the row of that name may differ."""
    patterns, _ = DIFFERENCES.get(key, ({}, ""))
    found = (columns for pattern, columns in patterns.items() if re.fullmatch(pattern, name))
    return {*next(found, "").split()}


def test_the_table_has_72_networks():
    assert len(VARIANTS) == 72
    assert VARIANTS.keys() == expected().keys()


@pytest.mark.parametrize("key", VARIANTS, ids="/".join)
def test_every_operation_is_that_of_the_table(key: tuple[str, str]):
    rows = expected()[key]
    made, size, channels = network(VARIANTS[key], key)
    table = operations.table(made, size, channels=channels)

    assert len(table.operations) == len(rows)
    seen = set()
    for row, operation in zip(rows, table.operations, strict=True):
        differing = {key for key, value in found(operation).items() if value != row[key]}
        assert differing <= excused(key, row["name"]), (row, found(operation))
        seen |= differing
    assert bool(seen) == (key in DIFFERENCES)  # none is listed that is none
    check_totals(made, size, channels, table, VARIANTS[key], grey=channels == 1)


def check_totals(
    made: nn.Module, size: int, channels: int, table: Table, name: str, *, grey: bool
) -> None:
    """The totals are those that torch counts, and that `inspect --list` shows; the receptive field
    is the published one."""
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = lambda x: x  # no multiply-accumulates, and slow on the meta device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        made(torch.empty(1, channels, size, size, device="meta"))
    assert counter.get_total_flops() == 2 * table.macs
    last = next(i for i, op in enumerate(table.trunk) if op.size == (1, 1))
    if name in PUBLISHED_FIELDS:
        assert table.trunk[last - 1].field_text == str(PUBLISHED_FIELDS[name])
    if name in published.NETWORKS and not grey:
        facts = published.NETWORKS[name]
        assert (facts.parameters, facts.macs) == (table.parameters, table.macs)


def test_published_facts_are_of_the_networks_there_are():
    assert published.NETWORKS.keys() == NETWORKS.keys()
    for name in NETWORKS.keys() - set(VARIANTS.values()):
        facts = published.NETWORKS[name]
        with torch.device("meta"):
            made = models.build(name, num_outputs=facts.outputs, image_size=facts.image_size)
        table = operations.table(made, facts.image_size)
        assert (facts.parameters, facts.macs) == (table.parameters, table.macs), name

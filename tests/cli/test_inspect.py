"""`python -m transferlab inspect`: the operations of a network, all networks, and comparisons."""

import csv
import io
import json
from pathlib import Path

import pytest

from transferlab.cli import inspect
from transferlab.errors import UserError
from transferlab.models.zoo import NETWORKS


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert inspect.run(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_operations_stages_and_totals_of_alexnet(capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, "alexnet")

    assert lines[0] == "alexnet: images of 227x227 pixels, 1000 classes"
    rows = [line.split() for line in lines[4:]]
    assert rows[0] == (
        "conv1 conv conv+relu 11 4 0 1 3 96 55 4 11 290,400 34,944 105,415,200".split()
    )
    assert rows[3] == "conv1 [stage] 3 96 27 8 19 290,400 34,944 105,415,200 n=1".split()
    fc6 = next(row for row in rows if row[:2] == ["fc6", "fc"])
    assert fc6 == "fc6 fc fc+relu 6 1 0 1 256 4096 1 32 355 4,096 37,752,832 37,748,736".split()
    cuts = [row[-1] for row in rows if "[stage]" in row]
    assert cuts[:-1] == [f"n={n}" for n in range(1, 8)]  # none after the classifier
    total = next(row for row in rows if row[0] == "[total]")
    assert total[-3:] == ["659,272", "60,965,224", "724,406,816"]


def test_another_size_and_number_of_classes(capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, "alexnet_small", "--image-size", "64", "--num-classes", "100")

    assert lines[0] == "alexnet_small: images of 64x64 pixels, 100 classes"
    classifier = [line for line in lines if line.startswith("fc8")]
    assert "51,300" in classifier[-1]  # (512 + 1) * 100


def test_machine_formats_have_plain_numbers_and_a_row_kind(capsys: pytest.CaptureFixture[str]):
    as_csv = list(
        csv.DictReader(io.StringIO("\n".join(printed(capsys, "alexnet", "--format", "csv"))))
    )
    as_json = json.loads("\n".join(printed(capsys, "alexnet", "--format", "json")))["rows"]

    assert as_csv[0]["macs"] == "105415200"
    assert as_json[0]["macs"] == 105_415_200
    assert as_json[-1]["row"] == "total"
    stages = [row for row in as_json if row["row"] == "stage"]
    assert sum(row["parameters"] for row in stages) == as_json[-1]["parameters"] == 60_965_224
    assert [row["cut"] for row in stages][-2:] == ["n=7", ""]


def test_all_networks_with_their_totals_and_errors(capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, "--list")

    assert lines[0] == f"{len(NETWORKS)} networks"
    names = [line.split()[0] for line in lines[4 : 4 + len(NETWORKS)]]
    assert names == list(NETWORKS)
    assert lines[4].split() == (
        "alexnet 60,965,224 724,406,816 227 1000 42.60 19.60 own code centre crop".split()
    )


def test_the_libraries_alexnet_is_another_network(capsys: pytest.CaptureFixture[str]):
    lines = printed(capsys, "alexnet", "--against", "torchvision")

    assert lines[0] == (
        "torchvision:alexnet (224 pixels) against alexnet: images of 227x227 pixels, 1000 classes"
    )
    assert lines[2:] == [
        "parameters: 61,100,840 instead of 60,965,224 (+135,616)",
        "multiply-accumulates: 714,188,480 instead of 724,406,816 (-10,218,336)",
        "padding 2 instead of 0: conv1.conv / features.0",
        "output channels 64 instead of 96: conv1.conv / features.0, conv1.pool / features.2",
        "operation maxpool instead of maxpool(ceil): conv1.pool / features.2, "
        "conv2.pool / features.5, conv5.pool / features.12",
        "without lrn(n=5 k=1 alpha=2e-5 beta=0.75): conv1.norm, conv2.norm",
        "groups 1 instead of 2: conv2.conv / features.3, conv4.conv / features.8, "
        "conv5.conv / features.10",
        "output channels 192 instead of 256: conv2.conv / features.3, conv2.pool / features.5",
        "output channels 256 instead of 384: conv4.conv / features.8",
        "in addition dropout(0.5) before fc6.fc: classifier.0",
        "without dropout(0.5) before fc8.fc: fc8.dropout",
    ]


def test_a_plot_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "depth.svg"

    assert printed(capsys, "alexnet", "--plot", str(path)) == []
    text = path.read_text()
    assert all(f">{stage}<" in text for stage in ("conv1", "conv5", "fc6", "fc8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alexnt"], "alexnt is an unknown network: did you mean alexnet or alexnet2012"),
        (["xyzzy"], "xyzzy is an unknown network: inspect --list has all of them"),
        ([], "name a network, inspect MODEL, or list them all, inspect --list"),
        (["alexnet", "--list"], "name a network, inspect MODEL, or list them all"),
        (["alexnet", "--format", "xml"], "--format xml is unknown: choose one of table, csv"),
        (["alexnet", "--cuts", "all"], "--cuts all is unknown: choose one of stage, fine"),
        (["alexnet", "--against", "jax"], "--against jax is unknown: choose one"),
        (["alexnet", "--against", "timm"], "timm has no network of the name alexnet: compare one"),
        (["alexnet", "--image-size", "0"], "--image-size 0 is out of range: it is at least 1"),
        (["alexnet", "--num-classes", "0"], "--num-classes 0 is out of range: it is at least 1"),
        (["--list", "--plot", "a.pdf"], "--plot has no effect with --list: omit one of them"),
        (["--list", "--cuts", "fine"], "--cuts has no effect with --list: omit one of them"),
        (["alexnet", "--against", "timm", "--format", "csv"], "--format has no effect with"),
        (["alexnet", "--plot", "a.pdf", "--format", "csv"], "--format has no effect with --plot"),
        (["alexnet", "--plot", "a.jpg"], "--out a.jpg is not an image file"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused(arguments: list[str], message: str):
    with pytest.raises(UserError) as error:
        inspect.run(arguments)

    assert str(error.value).startswith(message)


def test_a_library_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    from transferlab.models import reference

    with pytest.raises(UserError) as error:
        reference.network("timm", "resnet50", num_outputs=2)

    assert str(error.value) == (
        "--against timm needs timm: install it with pip install transferlab[timm]"
    )

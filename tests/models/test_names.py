"""Which tensor of a file is which of a network: what is copied, renamed, left over and refused."""

import pytest
import torch
from torch import Tensor

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import names
from transferlab.models.names import Account
from transferlab.models.stages import StagedNetwork


def network(outputs: int = 5, model: str = "alexnet_small") -> StagedNetwork:
    with torch.device("meta"):
        return models.build(model, num_outputs=outputs, image_size=32)


def filled(network: StagedNetwork) -> dict[str, Tensor]:
    """A file of the network under the names that people know: each tensor with another value."""
    plain = network.plain_names()
    return {
        plain[name]: torch.full(value.shape, float(number), dtype=value.dtype)
        for number, (name, value) in enumerate(network.state_dict().items())
    }


@pytest.fixture(scope="module")
def small() -> StagedNetwork:
    return network()


def matched(given: dict[str, Tensor], network: StagedNetwork) -> tuple[dict[str, Tensor], Account]:
    return names.matched(given, network, source="F", model="M")


def refusal(given: dict[str, Tensor], network: StagedNetwork) -> str:
    with pytest.raises(UserError) as error:
        matched(given, network)
    return str(error.value)


def test_a_whole_file_is_copied_and_every_tensor_accounted_for(small: StagedNetwork):
    given = filled(small)

    tensors, account = matched(given, small)

    assert tensors.keys() == given.keys() == small.state_dict().keys()
    assert all(torch.equal(tensors[name], given[name]) for name in given)
    assert account == Account(
        copied=len(given), renamed={}, converted={}, left_over={}, filled=[], missing=[], stages=8,
        fine=8, outputs=5,
    )  # fmt: skip
    assert list(account.lines()) == [f"{len(given)} tensors copied"]


@pytest.mark.parametrize("prefixes", [("module.",), ("model.", "module."), ("backbone.",)])
def test_what_wraps_a_network_is_undone_and_named(small: StagedNetwork, prefixes: tuple[str, ...]):
    given = filled(small)

    tensors, account = matched({"".join(prefixes) + k: v for k, v in given.items()}, small)

    assert all(torch.equal(tensors[name], given[name]) for name in given)
    assert account.renamed == {f"'{prefix}' before the names": len(given) for prefix in prefixes}
    assert account.missing == []


def test_a_prefix_of_some_names_does_not_hide_what_is_none_of_the_networks(small: StagedNetwork):
    """A checkpoint of Lightning's with a loss that has weights."""
    given = {f"model.{name}": value for name, value in filled(small).items()}

    message = refusal(given | {"criterion.weight": torch.ones(5)}, small)

    assert "1 have no such name there (criterion.weight)" in message


def test_a_classifier_of_another_size_or_none_is_left_out_whole_and_said(small: StagedNetwork):
    given = filled(network(7))
    tensors, account = matched(given, small)
    last = [name for name in given if name.startswith("fc8.")]
    assert last and account.left_over == {"a classifier of another size": last}
    assert account.missing == last
    assert (account.stages, account.outputs) == (7, None)
    assert not any(name.startswith("fc8.") for name in tensors)

    without = {name: value for name, value in given.items() if name not in last}
    tensors, account = matched(without | {"head.weight": torch.ones(3, 3)}, small)
    assert account.left_over == {"a classifier of another network": ["head.weight"]}
    assert tensors.keys() == without.keys()


def test_stages_after_a_missing_tensor_are_not_covered(small: StagedNetwork):
    given = filled(small)
    lost = next(name for name in given if name.startswith("conv3."))
    del given[lost]

    tensors, account = matched(given, small)

    assert (account.stages, account.missing) == (2, [lost])
    assert {name.partition(".")[0] for name in tensors} == {"conv1", "conv2"}
    assert list(account.lines())[-1] == f"not in the file: {lost}"
    first = {name: value for name, value in given.items() if not name.startswith("conv1.")}
    assert refusal(first, small).startswith("split.weights=F cover no stage of M: conv1.")


def test_a_file_of_another_network_is_refused_by_what_does_not_fit(small: StagedNetwork):
    message = refusal(filled(network(model="vgg_small")), small)

    assert message.startswith("split.weights=F are not those of model=M: ")
    assert len(message) < 600
    for part in ("of its ", " have no such name there (", " of the network are missing ("):
        assert part in message
    narrow = {name: value[:1] for name, value in filled(small).items()}
    assert "have another shape (conv1.conv.weight is (1, " in refusal(narrow, small)


def test_counters_that_old_files_lack_are_zero_and_types_are_the_networks():
    resnet = network(model="resnet_small")
    given = {
        name: value.half() if value.is_floating_point() else value
        for name, value in filled(resnet).items()
        if not name.endswith("num_batches_tracked")
    }

    tensors, account = matched(given, resnet)

    assert account.converted == {"float16": len(given)}
    assert len(account.filled) == len(tensors) - len(given) > 0
    assert account.missing == [] and account.stages == len(resnet)
    assert all(tensors[name].item() == 0 for name in account.filled)
    assert {value.dtype for value in tensors.values()} == {torch.float32, torch.int64}


def test_old_names_of_torchvisions_dense_networks_are_renamed():
    dense = network(model="torchvision:densenet121")
    given = filled(dense)
    old = {
        name.replace("norm1", "norm.1").replace("conv1", "conv.1").replace("norm2", "norm.2")
        .replace("conv2", "conv.2") if "denselayer" in name else name: value
        for name, value in given.items()
    }  # fmt: skip
    assert "features.denseblock1.denselayer1.norm.1.weight" in old

    tensors, account = matched(old, dense)

    assert account.renamed == {"torchvision's old names (norm.1 for norm1)": 58 * 12}
    plain = dense.plain_names()
    assert all(torch.equal(value, given[plain[name]]) for name, value in tensors.items())
    assert tensors.keys() == dense.state_dict().keys()

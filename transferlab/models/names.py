"""Which tensor of a file is which of a network: by name, after rules that undo known wrappers.

Strict: every tensor of the file is copied, renamed by a rule that has a name, or left over for a
reason; all else is refused, as are tensors of another shape. What the file lacks is counted, and
decides how many stages it covers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from transferlab.errors import UserError
from transferlab.models.stages import StagedNetwork

# What wraps a network puts its own name before every tensor: DataParallel, torch.compile,
# Lightning's modules, detectors and segmenters
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "network.", "net.", "encoder.")
# torchvision named the layers of its dense networks `norm.1` until torch 0.4, which allows no dot
# in the name of a module (torchvision/models/densenet.py, `_load_state_dict`)
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")
COUNTER = "num_batches_tracked"  # which files of torch before 0.4.1 lack: it decides no number here
CLASSIFIERS = re.compile(r"^(fc|head|heads|classifier|last_linear|logits|linear|_fc)\d*\.")
AUXILIARY = re.compile(r"^(aux\d*|aux_logits|AuxLogits|auxiliary)\.")
HARMLESS = re.compile(r"(^|\.)(num_batches_tracked|n_averaged|total_ops|total_params)$")
OTHER_SIZE = "a classifier of another size"
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Account:
    """Every tensor of a file and of a network, once.

    The file covers so many `stages` from the first one on, and `fine` of those that
    `model.cuts=fine` counts. `outputs` is the number of classes; None without a classifier.
    """

    copied: int
    renamed: dict[str, int]
    converted: dict[str, int]
    left_over: dict[str, list[str]]
    filled: list[str]
    missing: list[str]
    stages: int
    fine: int
    outputs: int | None

    def lines(self) -> Iterator[str]:
        """The account in words, for a log."""
        rules = [f"{count} by {rule}" for rule, count in self.renamed.items()]
        yield f"{self.copied} tensors copied" + (f", renamed {', '.join(rules)}" if rules else "")
        for dtype, count in self.converted.items():
            yield f"{count} of them converted from {dtype}"
        for reason, names in self.left_over.items():
            yield f"left over, {reason}: {listed(names)}"
        if self.filled:
            yield f"not in the file, and set to 0: {listed(self.filled)}"
        if self.missing:
            yield f"not in the file: {listed(self.missing)}"


@dataclass
class _Sorted:
    """The tensors of a file under the network's names, by what becomes of them."""

    found: dict[str, Tensor] = field(default_factory=dict)
    left_over: dict[str, list[str]] = field(default_factory=dict)
    other_shape: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def matched(
    given: Mapping[str, Tensor], network: StagedNetwork, *, source: str, model: str
) -> tuple[dict[str, Tensor], Account]:
    """The tensors of a file by their names in a network, and the account of all.

    Those of stages after the first one that the file lacks a tensor of are left out. `network` has
    as many outputs as the file's classifier; `source` and `model` name both in messages.

    Raises: UserError unless every tensor is accounted for and the first stage is covered.
    """
    own, plain = network.state_dict(), _by_path(network)
    tensors, rules = _renamed(given, network)
    sort = _sorted(tensors, network, plain)
    filled = [path for path in plain if path.endswith(COUNTER) and path not in sort.found]
    missing = [path for path in plain if path not in sort.found and path not in filled]
    _check(source, model, len(given), sort, missing)
    lacking = [name for path in missing for name in plain[path]]
    tops, fine = (_covered(n, lacking) for n in (network.tops, network.fine_names()))
    if not tops and not fine:
        raise UserError(
            f"split.weights={source} cover no stage of {model}: {listed(missing)} are missing"
        )
    values = {
        name: _value(sort.found.get(path), own[name])
        for path, names in plain.items()
        if path not in missing
        for name in names
        if _within(name, (*tops, *fine))
    }
    dtypes = [
        str(tensor.dtype).removeprefix("torch.")
        for path, tensor in sort.found.items()
        if tensor.dtype != own[plain[path][0]].dtype
    ]
    account = Account(
        copied=len(sort.found),
        renamed=rules,
        converted={dtype: dtypes.count(dtype) for dtype in dtypes},
        left_over=sort.left_over,
        filled=filled,
        missing=missing,
        stages=len(tops),
        fine=len(fine),
        outputs=outputs(sort.found, network) if len(tops) == len(network.tops) else None,
    )
    return values, account


def renamed(given: Mapping[str, Tensor], network: StagedNetwork) -> dict[str, Tensor]:
    """The tensors of a file under the names that the network's own library gives them."""
    return _renamed(given, network)[0]


def outputs(tensors: Mapping[str, Tensor], network: StagedNetwork) -> int | None:
    """The number of outputs of the classifier among tensors that are so named; None without."""
    sizes = [tensors[path].shape[0] for path in _of_classifier(network) if path in tensors]
    return sizes[-1] if sizes and tensors else None


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


# --- the network's names ------------------------------------------------------------------------


def _by_path(network: StagedNetwork) -> dict[str, list[str]]:
    """The library's name of a tensor -> its names here: several stages may have a buffer."""
    plain: dict[str, list[str]] = {}
    for name, path in network.plain_names().items():
        plain.setdefault(path, []).append(name)
    return plain


def _of_classifier(network: StagedNetwork) -> list[str]:
    """The library's names of the tensors of the last stage, in its order."""
    last = network.tops[-1]
    return [path for name, path in network.plain_names().items() if _within(name, (last,))]


def _within(name: str, stages: Iterable[str]) -> bool:
    return name.startswith(tuple(f"{stage}." for stage in stages))


def _covered(stages: Sequence[str], lacking: Sequence[str]) -> Sequence[str]:
    """The first stages that lack nothing."""
    for number, stage in enumerate(stages):
        if any(_within(name, (stage,)) for name in lacking):
            return stages[:number]
    return stages


def _value(tensor: Tensor | None, own: Tensor) -> Tensor:
    """The tensor in the type that it has in the network; zeros for a counter without one."""
    if tensor is None:
        return torch.zeros(own.shape, dtype=own.dtype)
    return tensor.to(own.dtype).contiguous()


# --- the file's names ---------------------------------------------------------------------------


def _renamed(
    given: Mapping[str, Tensor], network: StagedNetwork
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors under the names of which the network knows most, and the number that each rule
    has renamed."""
    plain = network.plain_names()
    if given.keys() <= plain.keys():  # of a run: stages, and in them the names of the library
        changed = sum(plain[name] != name for name in given)
        tensors = {plain[name]: tensor for name, tensor in given.items()}
        return tensors, {"the stages of a run": changed} if changed else {}
    known = _by_path(network)
    chains = Counter(filter(None, (_wrapping(name, known) for name in given)))
    wrapping = chains.most_common(1)[0][0] if chains else ()
    names = {name: name.removeprefix("".join(wrapping)) for name in given}
    names = {old: old if new in given else new for old, new in names.items()}  # none twice
    wrapped = sum(new != old for old, new in names.items())
    rules = {f"'{prefix}' before the names": wrapped for prefix in wrapping}
    newer = {old: OLD_DENSENET.sub(r"\1\2", new) for old, new in names.items()}
    if _better(newer, names, known):
        rules["torchvision's old names (norm.1 for norm1)"] = sum(
            newer[old] != new for old, new in names.items()
        )
        names = newer
    return {names[old]: tensor for old, tensor in given.items()}, rules


def _wrapping(name: str, known: Mapping[str, object]) -> tuple[str, ...]:
    """The prefixes before a name that the network knows, or would after `OLD_DENSENET`."""
    chain: tuple[str, ...] = ()
    while name not in known and OLD_DENSENET.sub(r"\1\2", name) not in known:
        prefix = next((each for each in PREFIXES if name.startswith(each)), None)
        if prefix is None:
            return ()
        name, chain = name.removeprefix(prefix), (*chain, prefix)
    return chain


def _better(new: Mapping[str, str], old: Mapping[str, str], known: Mapping[str, object]) -> bool:
    """Whether the network knows more of the new names, and no two are the same."""
    hits = [len(known.keys() & names.values()) for names in (new, old)]
    return hits[0] > hits[1] and len({*new.values()}) == len(new)


def _sorted(
    tensors: Mapping[str, Tensor], network: StagedNetwork, plain: Mapping[str, list[str]]
) -> _Sorted:
    own, unused, classifier = network.state_dict(), network.unused_names(), _of_classifier(network)
    sort = _Sorted()
    for path, tensor in tensors.items():
        there = own[plain[path][0]].shape if path in plain else None
        if tensor.shape == there:
            sort.found[path] = tensor
        elif there is not None and path in classifier:
            sort.left_over.setdefault(OTHER_SIZE, []).append(path)
        elif there is not None:
            shapes = f"{tuple(tensor.shape)} in the file and {tuple(there)} here"
            sort.other_shape.append(f"{path} is {shapes}")
        elif reason := _reason(path, unused):
            sort.left_over.setdefault(reason, []).append(path)
        else:
            sort.unknown.append(path)
    if OTHER_SIZE in sort.left_over:  # no part of such a classifier is copied
        parts = [path for path in classifier if path in sort.found]
        sort.left_over[OTHER_SIZE] += parts
        sort.found = {path: each for path, each in sort.found.items() if path not in parts}
    return sort


def _reason(path: str, unused: frozenset[str]) -> str | None:
    """Why a tensor that is none of the network's may be left over; None if it may not."""
    if path in unused:
        return "not used by the forward pass"
    if CLASSIFIERS.match(path):
        return "a classifier of another network"
    if AUXILIARY.match(path):
        return "an auxiliary classifier"
    return "a counter" if HARMLESS.search(path) else None


def _check(source: str, model: str, given: int, sort: _Sorted, missing: Sequence[str]) -> None:
    """Raises: UserError for tensors of another shape, or that are none of the network's."""
    if sort.found and not sort.other_shape and not sort.unknown:
        return
    parts = [f"{len(sort.found)} of its {given} tensors fit"]
    if sort.other_shape:
        parts.append(f"{len(sort.other_shape)} have another shape ({sort.other_shape[0]})")
    if sort.unknown:
        parts.append(f"{len(sort.unknown)} have no such name there ({listed(sort.unknown)})")
    if missing:
        parts.append(f"{len(missing)} of the network are missing ({listed(missing)})")
    raise UserError(
        f"split.weights={source} are not those of model={model}: {'; '.join(parts)}; name their "
        "network with model=, or bring the right file"
    )

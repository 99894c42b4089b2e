"""Seeds of all random numbers of a run: a table of what each is a function of, and who shares it.

| random numbers | a function of | shared by |
| --- | --- | --- |
| initial values | seed, split, run, stage | none: copied stages are the base's |
| dropout masks | seed, split, run, stage, step, place in the global batch | none |
| order of the images | seed, split, target half, epoch | all runs on that half: AnB, BnB, baseB |
| crops, sizes, colours, mirroring | the same, and the image | the same |

The split is that of the classes, not its seed: the same halves have the same numbers under every
name. It is the unit that repeats, so that two splits share nothing, whatever their seeds. The runs
on one half share their images, so that a difference between AnB and BnB is one of the networks.
"""

import hashlib


def network_seed(seed: int, split: str, label: str, purpose: str, stage: str) -> int:
    """The seed of one purpose, `init` or `dropout`, of one stage of one network.

    `split` is the digest of the halves. The label enters the seed, so that B3B does not start with
    the initial head of baseB: it would fit the copied stages better than a fresh one, and the
    co-adaptation gap would look smaller.
    """
    return _seed(seed, split, label, purpose, stage)


def image_seed(seed: int, split: str, target: str) -> int:
    """The seed of the order, crops and mirroring of half `target`: see `data.sampling`."""
    return _seed(seed, split, target, "images")


def _seed(*parts: int | str) -> int:
    """An integer below 2 ** 63, independent for other parts."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

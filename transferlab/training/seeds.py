"""Seeds of initial values and dropout masks, and which runs share them."""

import hashlib


def seed_of(seed: int, label: str, purpose: str, stage: str) -> int:
    """A seed for one purpose of one stage of one network, independent of all others.

    The label enters the seed, so that B3B does not start with the initial head of baseB: it would
    fit the copied stages better than a fresh one, and the co-adaptation gap would look smaller.
    """
    digest = hashlib.sha256(f"{seed}/{label}/{purpose}/{stage}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

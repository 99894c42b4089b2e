"""A hash that is computed once is that of the fields, and stays in its process."""

import copy
import pickle
from dataclasses import dataclass, replace

from transferlab.runtime.hashes import Hashed, hashed_once


class Counted:
    """A value that counts how often its hash is computed."""

    def __init__(self) -> None:
        self.hashes = 0

    def __hash__(self) -> int:
        self.hashes += 1
        return 7


@hashed_once
@dataclass(frozen=True)
class Kept(Hashed):
    name: str
    value: object = None


def test_the_hash_is_computed_once_and_is_that_of_the_fields():
    value = Counted()
    kept = Kept("a", value)

    assert [hash(kept), hash(kept)] == [hash(("a", value))] * 2
    assert value.hashes == 2  # once for `kept`
    assert {Kept("a"): 1}[Kept("a")] == 1 and hash(Kept("a")) != hash(Kept("b"))


def test_what_is_made_of_an_instance_has_fields_only_and_a_hash_of_its_own():
    kept = Kept("a")
    before = hash(kept)

    assert vars(kept) == {"name": "a", "value": None}
    assert kept.__reduce_ex__(4)[2] == {"name": "a", "value": None}  # what is pickled
    for other in (pickle.loads(pickle.dumps(kept)), copy.copy(kept), copy.deepcopy(kept)):
        assert (other, hash(other)) == (kept, before) and vars(other) == vars(kept)
    assert hash(replace(kept, name="b")) == hash(Kept("b")) != before

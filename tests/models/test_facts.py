"""Where a network can be cut."""

import pytest

from transferlab.errors import UserError
from transferlab.models.facts import check_cut


@pytest.mark.parametrize(("n", "keep"), [(0, 0), (7, 0), (3, 4), (0, 7)])
def test_every_cut_below_the_classifier_is_valid(n: int, keep: int):
    check_cut(8, n, keep=keep, model="alexnet")


@pytest.mark.parametrize("n", [-1, 8, 9])
def test_a_cut_outside_the_network_is_refused(n: int):
    with pytest.raises(UserError) as error:
        check_cut(8, n, keep=0, model="alexnet")
    assert str(error.value) == (
        f"transfer.n={n} is not a cut point of alexnet (8 stages): choose 0..7"
    )


@pytest.mark.parametrize(("n", "keep", "most"), [(3, 5, 4), (7, 1, 0), (0, 8, 7)])
def test_keeping_the_classifier_is_refused(n: int, keep: int, most: int):
    with pytest.raises(UserError) as error:
        check_cut(8, n, keep=keep, model="alexnet")
    assert str(error.value) == (
        f"transfer.keep={keep} with transfer.n={n} reaches the classifier of alexnet (8 stages): "
        f"choose 0..{most}"
    )

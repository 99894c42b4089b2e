"""From views of an image to samples, and the codes of Chatfield et al. for it."""

import numpy as np
import pytest
import torch

from transferlab.errors import UserError
from transferlab.evaluation import features, pooling

VIEWS = torch.tensor([[3.0, 4.0], [0.0, 2.0], [6.0, 0.0]])


def pooled(code: str, *, l2: bool) -> list[list[float]]:
    return features.pooled(VIEWS, code, l2=l2).tolist()


def test_views_are_pooled_by_the_letters_of_the_paper():
    assert pooled("f", l2=False) == VIEWS.tolist()
    assert pooled("s", l2=False) == [[9.0, 6.0]]
    assert pooled("m", l2=False) == [[6.0, 4.0]]
    assert pooled("t", l2=False) == [[3.0, 4.0, 0.0, 2.0, 6.0, 0.0]]


def test_normalised_samples_have_the_norm_one_as_every_view_before():
    assert pooled("f", l2=True) == [pytest.approx(v) for v in ([0.6, 0.8], [0, 1], [1, 0])]
    assert pooled("s", l2=True) == [pytest.approx(np.array([1.6, 1.8]) / 5.8**0.5)]
    assert pooled("m", l2=True) == [pytest.approx([0.5**0.5, 0.5**0.5])]
    assert pooled("t", l2=True) == [
        pytest.approx(np.array([0.6, 0.8, 0, 1, 1, 0]) / 3**0.5)
    ]  # fmt: skip
    assert features.pooled(torch.zeros(2, 3), "s", l2=True).tolist() == [[0.0, 0.0, 0.0]]


def settings(**changes: object) -> dict[str, object]:
    return {**pooling.DEFAULTS, **changes}


def test_settings_that_have_nothing_to_pool_or_are_unknown_are_refused():
    for changes, message in (
        ({"pooling": "fs"}, "--pooling fs has nothing to pool: --crops centre is one view"),
        ({"crops": "flip", "pooling": "st"}, "--pooling st is unknown: choose one of fs, fm, f-"),
        ({"crops": "flip", "scales": [8, 9]}, "--scales 8,9 are several: --protocol chatfield"),
    ):
        with pytest.raises(UserError) as error:
            pooling.check(settings(**changes), [])
        assert str(error.value).startswith(message)
    assert pooling.check(settings(), [])["crops"] == "centre"
    assert pooling.check(settings(crops="flip"), [])["pooling"] == "fs"
    assert pooling.describe(pooling.check(settings(crops="flip", grey=True), [])) == (
        "SVMs on the last stage before the classifier, L2-normalised, centre crop and its mirror "
        "image pooled f s, grey"
    )

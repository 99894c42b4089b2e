"""Lightning's warnings are kept from the terminal, all others are not."""

import warnings

import pytest

from transferlab.training.callbacks.quiet import Quiet


def test_only_warnings_of_lightning_and_of_what_it_does_are_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Quiet.apply()
        warnings.warn("The `srun` command is available on your system", stacklevel=1)
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated", stacklevel=1)
        warnings.warn_explicit("any", UserWarning, "x.py", 1, module="pytorch_lightning.trainer")
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)

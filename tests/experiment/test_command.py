"""The command line of a config."""

import shlex

import pytest

from transferlab.experiment import command, compose
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve


@pytest.mark.parametrize(
    "words",
    [
        ["+split=random", "transfer.variant=baseA"],
        [
            "+split=random",
            "transfer.variant=A3B+",
            "seed=4",
            "train.epochs=null",
            "train.total_steps=9",
        ],
        ["+split=random", "transfer.variant=R2A", "data.size=16", "data.crop=16"],
        ["+split=whole", "transfer.variant=baseB", 'runtime.store="a b/x=(1)"'],
        [
            "+split=random",
            "transfer.variant=A1B",
            "split.seed=7",
            "train.epochs=null",
            "train.total_steps=30",
        ],
    ],
)
def test_the_command_of_a_config_trains_the_same_run(words: list[str]):
    run = resolve(build_config(compose.compose("config", words)))

    program, *again = shlex.split(command.line(run.config).removeprefix("python -m "))

    assert program == "transferlab"
    composed = resolve(build_config(compose.compose("config", again)))
    assert (composed.id, composed.config) == (run.id, run.config)

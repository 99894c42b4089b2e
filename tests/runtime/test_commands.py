"""Suggested settings and command lines: what a shell and Hydra read is what was meant."""

import os
import shlex
import subprocess

import pytest

from transferlab.experiment import compose
from transferlab.runtime import commands

TEXTS = [
    "/data/images", "/lr=0.1", "/run (1)", "/#1", "~/data", "/日本語", "/o'brien", "/[x]", "/a,b",
    "a b", " a", "", "'", '"', "\\", 'a\\"b', "a\\", "$HOME", "${x}", "\\${x}", "{a:1}", "a:b",
    "123", "1e5", "1_000", ".5", "inf", "NaN", "null", "True", "12:30", "2026-01-01", "a|b", "*",
    "`a`", "a;b", "&",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_passes_through_the_shell_and_hydra(text: str):
    from omegaconf import OmegaConf

    (word,) = shlex.split(commands.setting("data.root", text))
    (value,) = compose.settings([word])["data.root"]

    assert OmegaConf.create({"root": value}).root == text


@pytest.mark.parametrize(
    "text", ["a\tb", "a\nb", "\r", "\x1b[2J", "a\u2028b", "\u202e", "caf\udce9"]
)
def test_control_characters_pass_through_hydra(text: str):
    assert compose.settings([commands.override("data.root", text)])["data.root"] == (text,)


@pytest.mark.parametrize("text", ["${x}", "\\${x}", "\\\\${x}", "a\\b${x}${y}", "{x}", "$x", "\\"])
def test_a_value_that_omegaconf_does_not_see_is_unquoted(text: str):
    (value,) = compose.settings([commands.override("+study", text)])["study"]
    assert commands.unquoted(value) == text


def test_what_needs_no_quotes_has_none():
    values = {"data.size": 64, "data.scale": 0.015625, "data.val": None, "train.nesterov": True,
              "data.root": "/my/images-2.0", "transfer.variant": "A3B+"}  # fmt: skip
    assert commands.settings(values) == (
        "data.size=64 data.scale=0.015625 data.val=null train.nesterov=true "
        "data.root=/my/images-2.0 transfer.variant=A3B+"
    )
    assert commands.setting("data.root", "/lr=0.1") == """'data.root="/lr=0.1"'"""


def test_lines_are_quoted_for_the_shell():
    assert commands.line("retry", "--store", "my store (1)") == (
        "python -m transferlab retry --store 'my store (1)'"
    )
    assert commands.study("quick", "/lr=0.1") == (
        """python -m transferlab sweep +study=quick 'runtime.store="/lr=0.1"'"""
    )


def test_what_a_terminal_obeys_or_cannot_show_is_spelled_out_for_the_shell():
    words = ["a\nb", "caf\udce9's", "\x1b[2J\\", "\u202e日本", "\t1"]
    line = commands.line(*words, program="printf '%s\\0'")

    assert line == (
        r"printf '%s\0' $'a\x0ab' $'caf\xe9\x27s' $'\x1b[2J\x5c' "
        r"$'\xe2\x80\xae\xe6\x97\xa5\xe6\x9c\xac' $'\x091'"
    )
    shown = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert shown.split(b"\0")[:-1] == [os.fsencode(word) for word in words]

"""A path of any characters is good for every command, from data to report."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commandline import images

from transferlab import results
from transferlab.__main__ import main
from transferlab.experiment import compose
from transferlab.runtime import commands

# What a shell, Hydra's grammar, OmegaConf, a format string or a terminal would take as their own
NAME = "-a =(1)# ~ ' \" $HOME ${x} {y} ,[z] : % * 日本\n\t\x1b[31m\u202e é\\"
SHOWN = NAME.replace("\n", "\\n").replace("\t", "\\t").replace("\x1b", "\\x1b").replace(
    "\u202e", "\\u202e"
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of such a store, cache and images, after a run of one step on both."""
    folder = tmp_path_factory.mktemp("any")
    for subset in ("train", "val"):
        images(folder / NAME / "images", subset, dict.fromkeys(("a", "b'", "日本", "=d"), 2))
    named = {
        "data.root": folder / NAME / "images",
        "runtime.store": folder / NAME / "runs",
        "runtime.cache": folder / NAME / "cache",
    }
    words = [commands.override(key, str(path)) for key, path in named.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status = main([
            "+split=random", "data=image_folder", "data.size=16", "data.crop=16",
            "train.epochs=null", "train.total_steps=1", "train.batch_size=2", "runtime.threads=1",
            "transfer.variant=baseA", *words,
        ])  # fmt: skip
        assert status == 0
        yield folder


def test_a_run_is_trained_and_every_command_reads_its_store(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    store, out = trained / NAME / "runs", trained / NAME
    for words, shown in (
        (["status"], "1 done\n"),
        (["results", "--archive", f"{out}/{NAME}.csv"], ""),
        (["results", "--out", f"{out}/{NAME}.md"], ""),
        (["report", "--out", f"{out}/{NAME}.html"], ""),
        (["retry", "--failed"], ""),
    ):
        assert main([*words, "--store", str(store)]) == 0
        captured = capsys.readouterr()
        assert captured.out == shown and not {"\x1b", "\u202e", "\t"} & {*captured.err}
    assert len(results.load(out / f"{NAME}.csv").table) == 1
    assert set(results.load(store).table["data.root"]) == {str(out / "images")}
    assert sorted(path.name for path in trained.iterdir()) == [NAME]


def test_the_table_of_a_run_shows_its_folder_in_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    (run,) = (trained / NAME / "runs").glob("baseA-*")
    assert main(["results", "--store", str(run.parent), "--table", "runs", "--with-paths",
                 "--format", "csv"]) == 0  # fmt: skip
    head, row, _ = capsys.readouterr().out.split("\n")
    assert SHOWN.replace('"', '""') in row and "data.root" in head


@pytest.mark.parametrize(
    "text", [NAME, "/lr=0.1", "/a (1)", "/a#b", "~/a", "/日本", "/a,b", "/[x]"]
)
def test_what_hydra_does_not_read_as_a_text_is_shown_as_it_must_be_quoted(
    text: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["+split=random", "transfer.n=1", "data=image_folder", f"data.root={text}"]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.endswith(commands.setting("data.root", text))
    assert compose.settings([commands.override("data.root", text)])

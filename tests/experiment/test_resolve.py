"""The digests of data and halves, and where the groups of classes come from."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.splits import Split
from transferlab.experiment.splits.random import random_halves

Compose = Callable[..., RunConfig]

WORDNET = ("n01440764", "n01443537", "n02666196", "n02667093")  # two natural, two man-made
ANIMALS_AND_THINGS = "class,group\ncar,manmade\ncat,natural\ncup,manmade\ndog,natural\n"


def image_folder(root: Path, *classes: str, grey: int = 0) -> Path:
    """One 4-pixel image of each class for training and one for validation."""
    for number, name in enumerate(classes):
        for subset in ("train", "val"):
            place = root / subset / name
            place.mkdir(parents=True)
            Image.new("L", (4, 4), grey + number).save(place / "0.png")
    return root


def test_digits_get_their_golden_digests(config: Compose):
    """Golden: both digests are part of every run id, see `test_config.test_ids_are_golden`."""
    resolved = resolve(config("+split=random", "transfer.n=3")).config

    assert resolved.data.digest == (
        "2356fb3fe5cfab035a566ce5184cd027bb66ebbdb2d49fb283da50ec73922ec5"
    )
    assert resolved.split.digest == (
        "79105d58172a3b4f2848f41a0b82be7785f29e2c580545687afd22b9592ac36a"
    )


def test_resolving_changes_nothing_but_the_digests(config: Compose):
    plain = config("+split=random", "split.seed=2", "transfer.n=3")
    run = resolve(plain)
    resolved = run.config

    assert resolve(resolved) == run
    assert (
        replace(
            resolved,
            data=replace(resolved.data, digest=None),
            split=replace(resolved.split, digest=None),
        )
        == plain
    )


def test_split_digest_is_that_of_the_halves(config: Compose):
    plain = config("+split=random", "split.seed=2", "transfer.n=3")
    halves = random_halves("0123456789", 2)

    run = resolve(plain)

    assert run.split == halves
    assert run.config.split.digest == halves.digest


def test_the_whole_of_the_digits_is_half_b_with_a_golden_digest(config: Compose):
    plain = config("+split=whole", "transfer.variant=baseB")

    run = resolve(plain)

    assert run.split == Split(a=(), b=tuple("0123456789"))
    assert run.config.split.digest == (
        "f67cf941c5d49dd0a01d9a0b7a65943ebcc8d8c4d9d86594aacf8ef85c0f281a"
    )
    assert run.config.data == resolve(config("+split=random", "transfer.n=3")).config.data


def test_other_seeds_and_other_held_out_parts_have_other_digests(config: Compose):
    first = resolve(config("+split=random", "transfer.n=3")).config
    seed = resolve(config("+split=random", "split.seed=1", "transfer.n=3")).config
    holdout = resolve(config("+split=random", "data.holdout=0.25", "transfer.n=3")).config

    assert seed.split.digest != first.split.digest
    assert seed.data.digest == first.data.digest
    assert holdout.data.digest != first.data.digest
    assert holdout.split.digest == first.split.digest


def test_a_stored_data_digest_that_differs_is_refused(config: Compose, tmp_path: Path):
    theirs = image_folder(tmp_path / "theirs", "a", "b", "c", "d")
    ours = image_folder(tmp_path / "ours", "a", "b", "c", "d", grey=100)
    stored = resolve(
        config("+split=random", "data=image_folder", f"data.root={theirs}", "transfer.n=3")
    ).config
    here = replace(stored, data=replace(stored.data, root=str(ours)))
    found = resolve(replace(here, data=replace(here.data, digest=None))).config.data.digest

    with pytest.raises(UserError) as error:
        resolve(here)

    assert found is not None and stored.data.digest is not None
    assert str(error.value) == (
        f"data.digest={stored.data.digest[:12]}... is the recorded digest, but that of "
        f"the data is {found[:12]}...: data.root={ours} holds other images or classes; "
        "restore them, or start the experiment again, with runs of these images"
    )


def test_a_stored_split_digest_that_differs_is_refused(config: Compose):
    resolved = resolve(config("+split=random", "transfer.n=3")).config

    with pytest.raises(UserError) as error:
        resolve(replace(resolved, split=replace(resolved.split, digest="0" * 64)))
    assert str(error.value).startswith("split.digest=000000000000... ")


def test_images_that_were_moved_are_the_same_run(config: Compose, tmp_path: Path):
    words = ("+split=random", "data=image_folder", "transfer.n=3")
    here = image_folder(tmp_path / "here", "a", "b", "c", "d")
    there = tmp_path / "there"
    shutil.copytree(here, there)
    (there / "val").rename(there / "test")

    before = resolve(config(*words, f"data.root={here}"))
    moved = replace(before.config.data, root=str(there), val="test")

    assert resolve(replace(before.config, data=moved)).id == before.id


def test_as_many_outputs_as_classes_are_not_worth_a_word(config: Compose):
    words = ("+split=random", "transfer.n=3")
    plain = resolve(config(*words))

    assert resolve(config(*words, "model.num_outputs=5")) == plain
    assert resolve(config(*words, "model.num_outputs=6")).config.model.num_outputs == 6


def test_as_many_outputs_as_the_whole_has_classes_are_not_worth_a_word(config: Compose):
    words = ("+split=whole", "transfer.variant=baseB")
    plain = resolve(config(*words))

    assert resolve(config(*words, "model.num_outputs=10")) == plain
    assert resolve(config(*words, "model.num_outputs=11")).config.model.num_outputs == 11


def test_outputs_of_unequal_halves_are_kept(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, "a", "b", "c", "d", "e")  # halves of two and three
    words = ("+split=random", "data=image_folder", f"data.root={root}", "transfer.n=3")

    assert resolve(config(*words, "model.num_outputs=3")).config.model.num_outputs == 3


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (4, "model.num_outputs=4 is fewer than the 5 classes of half A"),
        (2, "model.num_outputs=2 is fewer than the 5 classes of half A"),
    ],
)
def test_fewer_outputs_than_classes_are_refused(config: Compose, outputs: int, message: str):
    with pytest.raises(UserError) as error:
        resolve(config("+split=random", "transfer.n=3", f"model.num_outputs={outputs}"))

    assert str(error.value) == message


def test_fewer_outputs_than_the_whole_has_classes_are_refused(config: Compose):
    with pytest.raises(UserError) as error:
        resolve(config("+split=whole", "transfer.variant=baseB", "model.num_outputs=9"))

    assert str(error.value) == "model.num_outputs=9 is fewer than the 10 classes of half B"


def test_fewer_outputs_than_the_larger_half_has_are_refused(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, "a", "b", "c", "d", "e")
    words = ("+split=random", "data=image_folder", f"data.root={root}", "transfer.n=3")

    with pytest.raises(UserError) as error:
        resolve(config(*words, "model.num_outputs=2"))
    assert str(error.value) == "model.num_outputs=2 is fewer than the 3 classes of half B"


def test_folders_named_by_wordnet_ids_have_the_published_groups(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, *WORDNET)
    (root / "classes.csv").write_text("class,group\n" + "".join(f"{w},manmade\n" for w in WORDNET))

    plain = config(
        "+split=manmade_natural", "data=image_folder", f"data.root={root}", "transfer.n=3"
    )

    run = resolve(plain)

    assert (run.half("A"), run.half("B")) == (WORDNET[2:], WORDNET[:2])
    assert run.split is not None and run.config.split.digest == run.split.digest


def test_other_folders_have_the_groups_of_the_file_beside_them(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, "car", "cat", "cup", "dog")
    (root / "classes.csv").write_text(ANIMALS_AND_THINGS)

    plain = config(
        "+split=manmade_natural", "data=image_folder", f"data.root={root}", "transfer.n=3"
    )

    assert resolve(plain).split == Split(a=("car", "cup"), b=("cat", "dog"))


def test_a_file_of_groups_comes_before_all_others(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path / "images", *WORDNET)
    groups = ("natural", "manmade", "natural", "manmade")
    (tmp_path / "mine.csv").write_text(
        "class,group\n"
        + "".join(f"{name},{group}\n" for name, group in zip(WORDNET, groups, strict=True))
    )

    plain = config(
        "+split=manmade_natural",
        "data=image_folder",
        f"data.root={root}",
        f"split.groups={tmp_path}/mine.csv",
        "transfer.n=3",
    )

    run = resolve(plain)

    assert (run.half("A"), run.half("B")) == (WORDNET[1::2], WORDNET[::2])


def test_folders_without_groups_are_refused_with_a_way_out(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, *WORDNET, "tench")
    plain = config(
        "+split=manmade_natural", "data=image_folder", f"data.root={root}", "transfer.n=3"
    )

    with pytest.raises(UserError, match=r"no group for 1 of 5 classes \(tench\).*classes.csv"):
        resolve(plain)


def test_digits_are_neither_manmade_nor_natural(config: Compose):
    with pytest.raises(UserError, match=r"no group for 10 of 10 classes \(0, 1, 2, \.\.\.\)"):
        resolve(config("+split=manmade_natural", "transfer.n=3"))


def test_an_unknown_split_is_refused(config: Compose):
    with pytest.raises(
        UserError, match="^split.name=halves .* random manmade_natural size_matched whole"
    ):
        config("+split=random", "split.name=halves", "transfer.n=3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data.name=mnist",), "data.name=mnist is unknown: choose one of digits "),
        (
            ("data=image_folder",),
            "data.root is missing: name the folder that holds train/CLASS/",
        ),
        (
            ("data=image_folder", "data.root=/nowhere/at/all"),
            "data.root=/nowhere/at/all is not a folder",
        ),
    ],
)
def test_missing_data_are_refused(config: Compose, words: tuple[str, ...], message: str):
    with pytest.raises(UserError) as error:
        resolve(config("+split=random", *words, "transfer.n=3"))

    assert str(error.value).startswith(message)


# --- what runs have in common -------------------------------------------------------------------


@pytest.mark.parametrize("split", ["+split=random", "+split=whole", "+split=manmade_natural"])
def test_runs_of_one_split_have_their_halves_and_sections_in_common(
    config: Compose, tmp_path: Path, split: str
):
    root = image_folder(tmp_path, *WORDNET)
    words = (split, "data=image_folder", f"data.root={root}", "transfer.variant=BnB")
    first, second = (config(*words, f"transfer.n={n}") for n in (1, 2))

    runs = resolve_all([first, second])

    assert runs == (resolve(first), resolve(second))
    assert runs[0].split is runs[1].split
    assert runs[0].config.split is runs[1].config.split
    assert runs[0].config.data is runs[1].config.data


def test_each_data_set_has_halves_of_its_own_for_a_seed(config: Compose, tmp_path: Path):
    roots = [
        image_folder(tmp_path / "one", "a", "b", "c", "d"),
        image_folder(tmp_path / "two", "e", "f", "g", "h"),
    ]

    for name in ("random", "whole"):
        words = (f"+split={name}", "data=image_folder", "transfer.variant=BnB", "transfer.n=3")
        runs = resolve_all(config(*words, f"data.root={root}") for root in roots)
        classes = [sorted(run.half("A") + run.half("B")) for run in runs]
        assert classes == [list("abcd"), list("efgh")]


@pytest.mark.parametrize("beside", [True, False])
def test_a_file_of_groups_that_was_written_again_is_read_again(
    config: Compose, tmp_path: Path, beside: bool
):
    root = image_folder(tmp_path / "images", "car", "cat", "cup", "dog")
    file = (root if beside else tmp_path) / "classes.csv"
    words = ["+split=manmade_natural", "data=image_folder", f"data.root={root}", "transfer.n=3"]
    plain = config(*words, *([] if beside else [f"split.groups={file}"]))

    file.write_text(ANIMALS_AND_THINGS)
    assert resolve(plain).split == Split(a=("car", "cup"), b=("cat", "dog"))
    file.write_text("class,group\ncar,natural\ncat,natural\ncup,manmade\ndog,manmade\n")
    assert resolve(plain).split == Split(a=("cup", "dog"), b=("car", "cat"))
    file.write_text("class,group\ncar,natural\n")
    with pytest.raises(UserError, match=r"no group for 3 of 4 classes"):
        resolve(plain)
    file.unlink()
    expected = "no group for 4 of 4 classes" if beside else "classes.csv cannot be read"
    with pytest.raises(UserError, match=expected):
        resolve(plain)


def test_what_cannot_be_split_is_refused_each_time(config: Compose, tmp_path: Path):
    root = image_folder(tmp_path, "a", "b", "c")
    random = config("+split=random", "data=image_folder", f"data.root={root}", "transfer.n=3")
    natural = config("+split=manmade_natural", "transfer.n=3")

    for _ in range(3):
        with pytest.raises(UserError, match="half A of split=random has 1 class"):
            resolve(random)
        with pytest.raises(UserError, match="no group for 10 of 10 classes"):
            resolve(natural)


def test_the_run_knows_the_classes_it_learns_and_shares_its_halves_with_its_base(config: Compose):
    run = resolve(config("+split=random", "transfer.n=3"))

    assert (run.label, run.classes, run.num_outputs) == ("A3B", run.half("B"), 5)
    assert run.base is not None
    assert (run.base.label, run.base.classes) == ("baseA", run.half("A"))
    assert run.base == resolve(config("+split=random", "transfer.variant=baseA"))


def test_the_images_of_a_plan_are_read_once(config: Compose, monkeypatch: pytest.MonkeyPatch):
    described: list[str] = []
    describe = data.describe

    def count(name: str, **source: object) -> data.Description:
        described.append(name)
        return describe(name, **source)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "describe", count)
    resolve_all(
        config("+split=random", f"split.seed={seed}", f"transfer.n={n}")
        for seed in (0, 1)
        for n in (1, 2, 3)
    )

    assert described == ["digits"]


def test_a_run_of_another_revision_has_another_id_and_is_not_trained(config: Compose):
    """Its numbers follow from other rules, so that this version's would be another run's."""
    plain = config("+split=random", "transfer.n=3")

    with pytest.raises(UserError, match=r"revision=1 .*revision=2"):
        resolve(replace(plain, revision=1))
    resolved = resolve(plain).config
    assert run_id(replace(resolved, revision=1)) != run_id(resolved)

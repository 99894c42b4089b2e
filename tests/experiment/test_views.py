"""Two data sets: which of them a run reads, as what it sees it, and what its id covers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support import trees

from transferlab.errors import UserError
from transferlab.experiment import compose, fit, plan, study, views
from transferlab.experiment.build import build_config, config_dict, vary_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of, run_id
from transferlab.experiment.keys import flatten, nested
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.run import make_run

Compose = Callable[..., RunConfig]
BOTH = (
    "+split=datasets", "data@split.a=cifar10", "split.a.size=40", "split.a.scale=1.0",
    "split.a.mean=base", "split.a.digest='11'", "data.digest='22'", "split.digest='33'",
    "data.size=24", "data.crop=20", "data.per_class=7",
)  # fmt: skip


def of_both(config: Compose, variant: str, *more: str) -> RunConfig:
    return config(*BOTH, f"transfer.variant={variant}", *more)


@pytest.mark.parametrize(
    ("variant", "more", "letter", "reads", "size", "scale"),
    [
        ("A3B", (), "A", "digits", 40, 1.0),
        ("A3B+", (), "A", "digits", 40, 1.0),
        ("A3B", ("data.mean=target",), "B", "digits", 24, 1 / 64),
        ("A3B", ("split.a.mean=target",), "A", "digits", 40, 1.0),
        ("B3A", (), "B", "cifar10", 24, 1 / 64),
        ("B3A", ("data.mean=target",), "B", "cifar10", 24, 1 / 64),
        ("B3A", ("split.a.mean=target",), "A", "cifar10", 40, 1.0),
        ("B3B", (), "B", "digits", 24, 1 / 64),
        ("A3A", (), "A", "cifar10", 40, 1.0),
        ("R3B", (), "B", "digits", 24, 1 / 64),
        ("R3A", (), "A", "cifar10", 40, 1.0),
        ("baseB", (), "B", "digits", 24, 1 / 64),
        ("baseA", (), "A", "cifar10", 40, 1.0),
    ],
)
def test_a_run_reads_its_target_and_sees_it_as_its_base_saw_its_own(
    config: Compose, variant: str, more: tuple[str, ...], letter: str, reads: str, size: int,
    scale: float,
):  # fmt: skip
    run = of_both(config, variant, *more)

    seen = views.inputs(run)

    assert views.letter(run) == letter
    assert (seen.name, seen.size, seen.scale) == (reads, size, scale)
    of_b = reads == "digits"
    assert (seen.per_class, seen.digest) == ((7, "22") if of_b else (None, "11"))
    assert views.crosses(run) == (letter != variant[-2 if run.transfer.variant[-1] == "+" else -1])


def test_halves_share_one_config_and_no_view_is_made(config: Compose):
    for variant in ("A3B", "B3A", "B3B", "R3B", "baseA"):
        run = config("+split=random", f"transfer.variant={variant}")
        assert views.inputs(run) is run.data
        assert not views.crosses(run)


def test_the_keys_of_a_are_keys_of_a_run_and_no_section_of_another(config: Compose):
    run = of_both(config, "A3B")
    other = config("+split=random", "transfer.variant=A3B")

    flat = flatten(run)
    assert (flat["split.a.name"], flat["split.a.size"], flat["data.size"]) == ("cifar10", 40, 24)
    assert build_config(nested(flat)) == run
    assert build_config(config_dict(run)) == run
    assert vary_config(run, {"split.a.size": 48}).split.a.size == 48  # type: ignore[union-attr]
    assert {flatten(other)[key] for key in flat if key.startswith("split.a.")} == {None}
    assert build_config(nested(flatten(other))) == other
    with pytest.raises(UserError, match=r"^unknown key split\.a\.colour"):
        vary_config(run, {"split.a.colour": 1})
    with pytest.raises(UserError, match=r"^split\.a\.size=0 must be at least 1"):
        vary_config(run, {"split.a.size": 0})
    with pytest.raises(UserError, match=r"^split\.a\.crop=41 must be at most split\.a\.size=40"):
        vary_config(run, {"split.a.crop": 41})


# --- ids ----------------------------------------------------------------------------------------


def test_ids_are_golden_and_where_the_images_lie_is_not_in_them(config: Compose):
    """Golden as those of test_identity: never write a new id here."""
    ids = {name: run_id(of_both(config, name)) for name in ("baseA", "baseB", "A3B", "B3A+")}

    assert ids == {
        "baseA": "fb6569f4e671", "baseB": "3ca934e11f5a", "A3B": "e57f0d256efe",
        "B3A+": "78b5e4cda4eb",
    }  # fmt: skip
    elsewhere = ("split.a.root=R", "split.a.val=v", "split.a.unreadable=skip", "data.root=S")
    assert run_id(of_both(config, "A3B", *elsewhere)) == ids["A3B"]


def test_ids_cover_both_data_sets_and_what_makes_no_difference_is_one_run(config: Compose):
    made = run_id(of_both(config, "A3B"))
    for change in ("split.a.digest='12'", "split.a.size=41", "split.a.mean=none", "data.size=25"):
        assert run_id(of_both(config, "A3B", change)) != made

    assert run_id(of_both(config, "A3B", "data.mean=target")) != made
    assert run_id(of_both(config, "A3B", "split.a.mean=target")) == made
    assert run_id(of_both(config, "B3A", "split.a.mean=target")) != run_id(of_both(config, "B3A"))
    # The base is one, whichever mean its dependents subtract
    bases = {
        run_id(base_of(of_both(config, "A3B", *means)) or pytest.fail("it has a base"))
        for means in ((), ("data.mean=target",), ("split.a.mean=target",))
    }
    assert bases == {run_id(of_both(config, "baseA"))}


def test_packs_are_of_one_target_and_one_base(config: Compose):
    runs = [make_run(of_both(config, name)) for name in ("A1B", "A2B", "B1B", "B1A", "A1A")]

    packed = [pack.labels for pack in plan.packs(runs, None)]

    assert packed == ["A1B A2B", "B1B", "B1A", "A1A"]


# --- resolving ----------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> str:
    return str(trees.tree(tmp_path / "photos"))


def test_classes_and_digests_are_those_of_each_data_set(config: Compose, photos: str):
    words = ("data=image_folder", f"data.root={photos}", "+split=datasets")

    a3b, baseA = resolve_all(
        config(*words, f"transfer.variant={name}") for name in ("A3B", "baseA")
    )

    assert (a3b.classes, baseA.classes) == (("Ant", "bee", "cat"), tuple("0123456789"))
    assert a3b.base is not None and a3b.base.id == baseA.id
    second = a3b.config.split.a
    assert second is not None and (second.name, second.digest) == (
        "digits", "2356fb3fe5cfab035a566ce5184cd027bb66ebbdb2d49fb283da50ec73922ec5",
    )  # fmt: skip
    assert len(a3b.config.data.digest or "") == 64
    assert a3b.folder_name == f"A3B-datasets-alexnet_small-{a3b.id}"
    assert resolve(a3b.config).id == a3b.id
    changed = vary_config(a3b.config, {"split.a.digest": "0" * 64})
    with pytest.raises(UserError, match=r"^split\.a\.digest=000000000000\.\.\. is the recorded"):
        resolve(changed)


def test_one_data_set_as_a_and_b_is_refused_and_with_another_size_it_is_not(config: Compose):
    words = ("+split=datasets", "transfer.variant=A3B")

    with pytest.raises(UserError) as error:
        resolve(config(*words))
    assert str(error.value) == (
        "A and B are the same images of digits: choose the data set of A with split.a=NAME, and "
        "that of B with data=NAME"
    )
    assert resolve(config(*words, "split.a.size=64")).classes == tuple("0123456789")


def test_sizes_that_do_not_fit_are_refused_by_whose_they_are(config: Compose, tmp_path: Path):
    words = ("+split=datasets", "split.a.size=200", "split.a.crop=200")
    with pytest.raises(UserError, match=r"^split\.a\.crop=200 does not fit model=alexnet_small"):
        fit.check_network(config(*words, "transfer.variant=A3B"))
    fit.check_network(config(*words, "transfer.variant=B3A"))

    trees.prepare(trees.tree(tmp_path / "photos"), tmp_path / "packed")
    prepared = ("+split=datasets", "data=prepared", f"data.root={tmp_path}/packed",
                "data.size=8", "data.crop=8")  # fmt: skip
    with pytest.raises(UserError) as error:
        resolve(config(*prepared, "transfer.variant=A3B"))
    assert str(error.value) == (
        f"split.a.size=32 differs from the 8 pixels of {tmp_path}/packed: A3B sees the images of "
        "B as its base network saw those of A; prepare the images of B again in that size, use "
        "the files they were prepared from, or let every network see its target's own "
        "preprocessing with data.mean=target"
    )
    resolve(config(*prepared, "transfer.variant=A3B", "data.mean=target"))
    resolve(config(*prepared, "transfer.variant=B3A"))


# --- how it is written --------------------------------------------------------------------------


def test_the_data_set_of_a_is_a_choice_on_the_command_line_and_in_a_study(tmp_path: Path):
    assert compose.as_typed("split.a=cifar10") == "data@split.a=cifar10"
    assert compose.as_typed("split.a=own.module:Set") == "split.a.name=own.module:Set"
    assert compose.settings(["data@split.a=cifar10", "data=digits"]) == {
        "split.a": ("cifar10",), "data": ("digits",),
    }  # fmt: skip
    compose.check(["data@split.a=cifar10", "split.a.root=DIR"])
    with pytest.raises(UserError, match=r"^unknown split\.a=cifar11: did you mean cifar10\?"):
        compose.check(["data@split.a=cifar11"])

    file = tmp_path / "s.yaml"
    file.write_text(
        "- {split: datasets, split.a: [cifar10, cifar100], split.a.size: 40, data: digits, "
        "transfer.variant: A2B}"
    )
    configs = study.expand(study.load(str(file)), ["split.a.crop=36"])
    assert [(c.split.a.name, c.split.a.size, c.split.a.crop) for c in configs if c.split.a] == [
        ("cifar10", 40, 36), ("cifar100", 40, 36),
    ]  # fmt: skip


def test_a_data_set_of_a_where_nothing_reads_it_is_refused(config: Compose):
    used_only = (
        "split.a is used only by split=datasets or split=pretrained: choose one, or omit split.a"
    )
    for word in ("data@split.a=cifar10", "split.a.root=DIR"):
        with pytest.raises(UserError) as error:
            compose.compose("config", ["+split=random", word])
        assert str(error.value) == used_only
    halves = config_dict(config("+split=random", "transfer.variant=A3B"))
    with pytest.raises(UserError, match=r"^split\.a is used only by "):
        build_config({**halves, "split": {**halves["split"], "a": halves["data"]}})
    without = config_dict(of_both(config, "A3B"))
    with pytest.raises(UserError, match=r"^missing split\.a: split=datasets needs the data set "):
        build_config({**without, "split": {**without["split"], "a": None}})


def test_training_images_vary_as_their_own_data_set_says_whoever_sees_them(config: Compose):
    vary = ("data.pca=0.1", "data.pad=4", "split.a.scales=[48,64]", "split.a.grey=true")
    for variant, expected in (
        ("A3B", (0.1, 4, None, True)), ("B3B", (0.1, 4, None, False)),
        ("B3A", (0.0, 0, (48, 64), False)), ("baseA", (0.0, 0, (48, 64), True)),
    ):  # fmt: skip
        seen = views.inputs(of_both(config, variant, *vary))
        assert (seen.pca, seen.pad, seen.scales, seen.grey) == expected, variant
    of_both(config, "B3B", "data.scales=[24,32]")
    with pytest.raises(UserError) as error:
        of_both(config, "A3B", "data.scales=[24,32]")
    assert str(error.value) == (
        "data.scales=[24,32] must be two sides in ascending order, both at least split.a.crop=32"
    )

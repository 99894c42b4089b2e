"""Halves as the authors drew them, disjoint and complete; the published list of man-made classes.

Source of the md5 sums, first indices and counts: yosinski/convnet_transfer, index files.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from transferlab.errors import UserError
from transferlab.experiment.splits import Split
from transferlab.experiment.splits.manmade_natural import (
    manmade_natural,
    published_groups,
    read_groups,
)
from transferlab.experiment.splits.random import random_halves
from transferlab.experiment.splits.size_matched import size_matched
from transferlab.experiment.splits.whole import whole

WORDNET_IDS = tuple(published_groups())
FOUR = ("n01440764", "n01443537", "n02666196", "n02667093")  # two natural, two man-made


def md5(names: tuple[str, ...]) -> str:
    return hashlib.md5("".join(f"{name}\n" for name in names).encode()).hexdigest()


@pytest.mark.parametrize(
    ("seed", "a", "b"),
    [
        (0, "b0481e695e28b2b99da4d620e3ea4b1e", "f9f53cc29f8183c8f790a75117a71756"),
        (1, "a85bfb0dcfb1056cd7fa3a822d351a0b", "9fd635dce8e59eaa1f451f3252243216"),
        (2, "2ac731eb157d685a2585adcdd690c473", "db87264c56db1e8786e5efc22323ffed"),
        (3, "05a012260bb86e5468af69340745e8cb", "14447605f5d2d54a82b59bbee0d886fe"),
    ],
)
def test_random_halves_of_imagenet_are_the_authors_own(seed: int, a: str, b: str):
    split = random_halves(WORDNET_IDS, seed)

    assert (md5(split.a), md5(split.b)) == (a, b)


@pytest.mark.parametrize(
    ("seed", "first"),
    [
        (0, [0, 1, 2, 5, 9, 10, 15, 16]),
        (1, [1, 5, 7, 9, 15, 16, 17, 19]),
        (2, [0, 2, 4, 5, 8, 9, 10, 13]),
        (3, [0, 5, 6, 7, 8, 10, 12, 14]),
    ],
)
def test_first_eight_indices_of_half_a_are_the_authors_own(seed: int, first: list[int]):
    names = [str(number) for number in range(1000)]

    assert [int(name) for name in random_halves(names, seed).a[:8]] == first


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 1411, 2**32 - 1])
@pytest.mark.parametrize("count", [10, 37, 64, 1000])
def test_half_a_is_what_numpys_legacy_choice_draws(count: int, seed: int):
    drawn = np.random.RandomState([seed]).choice(count, count // 2, replace=False)

    split = random_halves([str(number) for number in range(count)], seed)

    assert [int(name) for name in split.a] == sorted(drawn.tolist())


@pytest.mark.parametrize(("count", "a", "b"), [(4, 2, 2), (5, 2, 3), (10, 5, 5), (37, 18, 19)])
def test_halves_are_disjoint_complete_and_in_the_order_of_the_list(count: int, a: int, b: int):
    names = [f"class {number:02d}" for number in range(count)][::-1]  # an order that is not sorted

    for seed in range(20):
        split = random_halves(names, seed)
        assert (len(split.a), len(split.b)) == (a, b)
        assert set(split.a) | set(split.b) == set(names)
        assert list(split.a) == [name for name in names if name in split.a]
        assert list(split.b) == [name for name in names if name in split.b]


def test_another_seed_gives_other_halves_and_the_same_seed_the_same():
    assert len({random_halves(WORDNET_IDS, seed) for seed in range(20)}) == 20
    assert random_halves(WORDNET_IDS, 7) == random_halves(list(WORDNET_IDS), 7)


def test_published_classes_are_the_thousand_wordnet_ids_in_ascii_order():
    assert len(WORDNET_IDS) == 1000
    assert list(WORDNET_IDS) == sorted(WORDNET_IDS)
    assert (WORDNET_IDS[0], WORDNET_IDS[-1]) == ("n01440764", "n15075141")


def test_manmade_is_half_a_and_natural_half_b_as_published():
    split = manmade_natural(WORDNET_IDS)

    assert (len(split.a), len(split.b)) == (551, 449)
    assert md5(split.a) == "4da1adbb1867b38e0b009a46d51cbe4f"
    assert md5(split.b) == "74c3b248521a03e385519a7c275bd3e4"


def test_natural_classes_have_the_published_indices():
    natural = {WORDNET_IDS.index(name) for name in manmade_natural(WORDNET_IDS).b}

    assert natural == {*range(398), *range(936, 959), 970, *range(972, 999)}


def test_some_of_the_wordnet_ids_are_divided_in_their_order():
    assert manmade_natural(FOUR) == Split(
        a=("n02666196", "n02667093"), b=("n01440764", "n01443537")
    )
    assert manmade_natural(FOUR[::-1]) == Split(
        a=("n02667093", "n02666196"), b=("n01443537", "n01440764")
    )


def test_groups_of_the_user_come_before_the_published_ones():
    groups = dict(zip(FOUR, ("manmade", "natural", "manmade", "natural"), strict=True))

    assert manmade_natural(FOUR, groups) == Split(
        a=("n01440764", "n02666196"), b=("n01443537", "n02667093")
    )


def test_size_matched_classes_are_random_and_as_many_as_the_groups_have():
    split = size_matched(WORDNET_IDS, 0)
    dissimilar = manmade_natural(WORDNET_IDS)

    assert (len(split.a), len(split.b)) == (551, 449)
    assert {*split.a, *split.b} == {*WORDNET_IDS}
    # Of a draw without regard to the groups 551 x 0.551 = 304 are man-made, within 4 sd of 8
    assert 272 < len({*split.a} & {*dissimilar.a}) < 336
    # The draw of random halves, so that the authors' half A of 500 is part of it
    assert {*random_halves(WORDNET_IDS, 0).a} < {*split.a}
    assert split != size_matched(WORDNET_IDS, 1)


def test_size_matched_takes_the_groups_of_the_user_and_names_itself():
    groups = dict.fromkeys(FOUR[:2], "manmade") | dict.fromkeys((*FOUR[2:], "hen"), "natural")
    split = size_matched([*FOUR, "hen"], 0, groups)

    assert (len(split.a), len(split.b)) == (2, 3)
    with pytest.raises(UserError, match="^split=size_matched has no group for 1 of 5 classes"):
        size_matched([*FOUR, "hen"], 0)


def test_the_whole_is_all_of_half_b_and_nothing_of_half_a():
    assert whole(WORDNET_IDS) == Split(a=(), b=WORDNET_IDS)
    assert whole(["dog", "cup", "cat"]) == Split(a=(), b=("dog", "cup", "cat"))


def test_halves_come_by_letter():
    split = Split(a=("car", "cup"), b=("cat", "dog"))

    assert split.half("A") == ("car", "cup")
    assert split.half("B") == ("cat", "dog")
    with pytest.raises(KeyError):
        split.half("C")


def test_a_split_cannot_be_changed():
    split = Split(a=("car", "cup"), b=("cat", "dog"))

    with pytest.raises(dataclasses.FrozenInstanceError):
        split.a = ("cat", "dog")  # type: ignore[misc]


def test_digest_is_golden_and_changes_with_names_order_and_halves():
    """Golden: the digest is part of every run id, so a change of it orphans every stored run."""
    split = Split(a=("car", "cup"), b=("cat", "dog"))
    others = [
        Split(a=("cup", "car"), b=("cat", "dog")),
        Split(a=("cat", "dog"), b=("car", "cup")),
        Split(a=("car", "cup", "cat"), b=("dog",)),
        Split(a=("car",), b=("cup", "cat", "dog")),
        Split(a=(), b=("car", "cup", "cat", "dog")),
        Split(a=("car", "cups"), b=("cat", "dog")),
    ]

    assert split.digest == "21a43f50a598cff85cbfe3e14a005d8bc4c83029ae7ba0840d006c7ebe2e74f2"
    assert len({split.digest, *(other.digest for other in others)}) == 7


def test_digest_of_the_whole_is_golden():
    assert whole(["car", "cup"]).digest == (
        "494d6af9f7f3611df2290ca72f5fbe79ee12f649f2abb4e6fdbc0f9c55685e6d"
    )


def test_classes_file_gives_class_and_group(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_text('class,note,group\ncar,,manmade\n"sea, deep",wet,natural\ncat,,natural\n')

    assert read_groups(file) == {"car": "manmade", "sea, deep": "natural", "cat": "natural"}


def test_classes_file_may_begin_with_the_mark_that_spreadsheets_write(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_bytes(b"\xef\xbb\xbfclass,group\r\ncar,manmade\r\ncaf\xc3\xa9,natural\r\n")

    assert read_groups(file) == {"car": "manmade", "café": "natural"}


@pytest.mark.parametrize("second", ["manmade", "natural"])
def test_a_class_listed_twice_is_refused(tmp_path: Path, second: str):
    file = tmp_path / "classes.csv"
    file.write_text(f"class,group\ncup,manmade\ncar,manmade\ncat,natural\ncar,{second}\n")

    with pytest.raises(UserError) as error:
        read_groups(file)
    assert str(error.value) == f"{file} lists the class 'car' more than once"


def test_a_quote_that_is_never_closed_is_named(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_text('class,group\ncar,"manmade\n' + 20_000 * "cat,natural\n")

    with pytest.raises(UserError) as error:
        read_groups(file)
    assert str(error.value) == (
        f"split.groups={file} cannot be read: field larger than field limit (131072)"
    )


def test_classes_without_a_group_are_counted_and_named():
    with pytest.raises(UserError) as error:
        manmade_natural([*FOUR, "tench", "cup", "hen", "dog"])

    assert str(error.value) == (
        "split=manmade_natural has no group for 4 of 8 classes (tench, cup, hen, ...): only the "
        "1,000 WordNet ids of ILSVRC 2012 are known; for other classes name a file with the "
        "columns class,group (manmade or natural) with split.groups=FILE, or put it into data.root "
        "as classes.csv"
    )


def test_a_wrong_group_is_refused(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_text("class,group\ncar,man-made\ncat,natural\n")

    with pytest.raises(UserError) as error:
        read_groups(file)
    assert str(error.value) == f"{file} has the group 'man-made': choose manmade or natural"


def test_a_row_without_a_group_is_refused(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_text("class,group\ncar,manmade\ncat\n")

    with pytest.raises(UserError) as error:
        read_groups(file)
    assert str(error.value) == f"{file} has the group '': choose manmade or natural"


@pytest.mark.parametrize(
    ("text", "columns"), [("name,group\ncar,manmade\n", "['name', 'group']"), ("", "None")]
)
def test_other_columns_are_refused(tmp_path: Path, text: str, columns: str):
    file = tmp_path / "classes.csv"
    file.write_text(text)

    with pytest.raises(UserError) as error:
        read_groups(file)
    assert str(error.value) == f"{file} has the columns {columns}: it needs class,group"


def test_a_missing_file_of_groups_is_named(tmp_path: Path):
    with pytest.raises(UserError) as error:
        read_groups(tmp_path / "none.csv")

    assert str(error.value).startswith(f"split.groups={tmp_path}/none.csv cannot be read: ")
    assert "No such file or directory" in str(error.value)


def test_a_file_of_groups_that_is_no_text_is_named(tmp_path: Path):
    file = tmp_path / "classes.csv"
    file.write_bytes(b"class,group\n\xff\xfe,manmade\n")

    with pytest.raises(UserError, match="classes.csv cannot be read: 'utf-8' codec can't decode"):
        read_groups(file)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b", "c"], "half A of split=random has 1 class: a half needs at least 2"),
        (["a"], "half A of split=random has 0 classes: a half needs at least 2"),
        ([], "half A of split=random has 0 classes: a half needs at least 2"),
    ],
)
def test_a_random_half_with_less_than_two_classes_is_refused(classes: list[str], message: str):
    with pytest.raises(UserError) as error:
        random_halves(classes, 0)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (FOUR[:3], "half A of split=manmade_natural has 1 class: a half needs at least 2"),
        (FOUR[1:], "half B of split=manmade_natural has 1 class: a half needs at least 2"),
        (FOUR[2:], "half B of split=manmade_natural has 0 classes: a half needs at least 2"),
    ],
)
def test_a_group_with_less_than_two_classes_is_refused(classes: tuple[str, ...], message: str):
    with pytest.raises(UserError) as error:
        manmade_natural(classes)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a"], "half B of split=whole has 1 class: a half needs at least 2"),
        ([], "half B of split=whole has 0 classes: a half needs at least 2"),
    ],
)
def test_a_whole_of_less_than_two_classes_is_refused(classes: list[str], message: str):
    with pytest.raises(UserError) as error:
        whole(classes)

    assert str(error.value) == message

"""The mean image: exact, computed once, and kept where nothing is unpickled."""

import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from support.users import ALICE, GROUP

from transferlab.data import mean
from transferlab.data.crops import Crops
from transferlab.data.datasets.images import ArraySubset, UnreadableImage
from transferlab.data.half import View
from transferlab.errors import UserError


@dataclass
class Counted:
    """Random images that count how often they are read."""

    pixels: np.ndarray
    labels: np.ndarray
    in_memory: bool = True
    read_positions: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        assert crops is None
        self.read_positions += positions.tolist()
        out[:] = self.pixels[positions]
        return {}

    def name(self, position: int) -> str:
        return f"image{position}"


def view(count: int = 700, size: int = 5) -> View:
    noise = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    noise[:, 0, 0] = 255  # sums beyond what a byte, or float16, would hold
    positions = np.arange(1, count, 2)  # half of the images
    labels = np.zeros(len(positions), dtype=np.int64)
    return View(Counted(noise, labels), positions, labels, skip_unreadable=False)


def compute_with_skipped(
    view: View, cache: Path, name: str = "name", progress: list | None = None
) -> mean.Mean:
    counts = [] if progress is None else progress
    return mean.mean_image(
        view,
        cache=cache,
        name=name,
        workers=0,
        changed=getattr(view.subset, "changed", lambda skipped: ()),
        on_progress=counts.append,
    )


def compute(view: View, cache: Path, *args, **settings) -> np.ndarray:
    return compute_with_skipped(view, cache, *args, **settings).image


def test_the_mean_is_numpys_to_the_bit(tmp_path: Path):
    half_view = view()
    computed = compute(half_view, tmp_path)
    expected = half_view.subset.pixels[half_view.positions].astype(np.float64).mean(axis=0)
    assert computed.dtype == np.float32 and computed.shape == (5, 5, 3)
    assert np.array_equal(computed, expected.astype(np.float32))
    assert computed[0, 0].tolist() == [255, 255, 255]


def test_a_mean_by_hand(tmp_path: Path):
    pixels = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 1, 1, 2] = (10, 20, 40), (255, 255, 0)
    labels = np.zeros(3, dtype=np.int64)
    half_view = View(ArraySubset(pixels, labels, "fake"), np.arange(3), labels, False)
    computed = compute(half_view, tmp_path)
    assert computed[0, 0].tolist() == [np.float32(70 / 3), 0, 0]
    assert computed[1, 1].tolist() == [0, 0, 170]


def components(view: View, cache: Path, name: str = "colours") -> np.ndarray:
    return mean.colour_components(
        view, cache=cache, name=name, workers=0, changed=lambda skipped: (),
        on_progress=lambda done: None,
    )  # fmt: skip


def test_the_components_of_colour_are_those_of_numpys_covariance(tmp_path: Path):
    half_view = view()
    half_view.subset.pixels[..., 1] = half_view.subset.pixels[..., 0] // 2  # colours that go along
    colours = half_view.subset.pixels[half_view.positions].reshape(-1, 3).astype(np.float64)
    variances, vectors = np.linalg.eigh(np.cov(colours.T, bias=True))
    computed = components(half_view, tmp_path)
    assert computed.dtype == np.float32 and computed.shape == (3, 3)
    lengths = np.linalg.norm(computed, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(variances[::-1]), rtol=1e-5)  # the largest first
    np.testing.assert_allclose(abs(np.diag(computed @ vectors[:, ::-1])), lengths, rtol=1e-5)
    largest = np.abs(computed).argmax(axis=1)
    assert (computed[np.arange(3), largest] > 0).all()  # a vector and its opposite are equal
    half_view.subset.read_positions.clear()
    assert np.array_equal(components(half_view, tmp_path), computed)
    assert half_view.subset.read_positions == []  # kept beside the mean images


def test_components_by_hand(tmp_path: Path):
    """Red is 0 or 200, green half of it, and blue stays: one component, of length 50 sqrt(5)."""
    pixels = np.full((2, 2, 2, 3), 90, dtype=np.uint8)
    pixels[0, ..., :2], pixels[1, ..., :2] = (0, 0), (200, 100)
    labels = np.zeros(2, dtype=np.int64)
    half_view = View(ArraySubset(pixels, labels, "fake"), np.arange(2), labels, False)
    expected = [[100, 50, 0], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(components(half_view, tmp_path), expected, atol=1e-5)


def test_the_mean_of_a_grey_view_is_grey(tmp_path: Path):
    colour = view(count=4)
    grey = replace(colour, grey=True)
    expected = colour.subset.pixels[colour.positions] @ np.array([0.299, 0.587, 0.114])
    image = compute(grey, tmp_path)
    assert np.ptp(image, axis=2).max() == 0
    assert abs(image[..., 0] - expected.mean(axis=0)).max() < 0.51  # each is rounded
    assert compute(colour, tmp_path, "another").std(axis=2).max() > 1


def test_every_image_is_read_once_and_progress_is_reported(tmp_path: Path):
    half_view, progress = view(), []
    compute(half_view, tmp_path, progress=progress)
    assert half_view.subset.read_positions == list(range(1, 700, 2))
    assert progress == [256, 350]


def test_a_mean_is_computed_once_and_kept(tmp_path: Path):
    half_view, progress = view(), []
    first = compute(half_view, tmp_path)
    count = len(half_view.subset.read_positions)
    second = compute(half_view, tmp_path, progress=progress)
    assert np.array_equal(first, second) and second.dtype == np.float32
    assert len(half_view.subset.read_positions) == count == 350
    assert progress == []
    assert [path.name for path in (tmp_path / "means").iterdir()] == ["name.npy"]


def test_another_name_is_another_mean(tmp_path: Path):
    half_view = view()
    compute(half_view, tmp_path, "one")
    compute(half_view, tmp_path, "two")
    assert len(half_view.subset.read_positions) == 700


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def damage_text(path: Path) -> None:
    path.write_bytes(b"<html>404</html>")


def damage_pickle(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def damage_bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps([1.0, 2.0]))


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + path.read_bytes())  # numpy takes it for a zip archive


def damage_other_zip(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, mean=np.zeros((5, 5, 3), dtype=np.float32))


def damage_header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:10] + b"{'descr': (((" + content[23:])


def damage_magic(path: Path) -> None:
    path.write_bytes(b"\x93NUMPY\x09\x00" + path.read_bytes()[8:])  # a version there is not


def damage_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def damage_axes(path: Path) -> None:
    np.save(path, np.load(path)[..., 0])


def damage_channels(path: Path) -> None:
    np.save(path, np.load(path)[..., :2])


DAMAGES = [
    *(damage_cut, damage_text, damage_pickle, damage_bare_pickle, damage_empty, damage_zip),
    *(damage_other_zip, damage_header, damage_magic, damage_type, damage_axes, damage_channels),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_computed_again_with_a_warning(
    damage, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    half_view = view()
    first = compute(half_view, tmp_path)
    path = tmp_path / "means/name.npy"
    damage(path)
    with caplog.at_level(logging.WARNING):
        second = compute(half_view, tmp_path)
    assert np.array_equal(first, second)
    assert len(half_view.subset.read_positions) == 700
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path} is damaged (")
    assert caplog.messages[0].endswith("): computed again")
    assert np.array_equal(np.load(path, allow_pickle=False), first)  # and mended


def test_the_warning_names_the_content_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "means").mkdir()
    np.save(tmp_path / "means/name.npy", np.zeros((5, 5), dtype=np.int16))
    compute(view(), tmp_path)
    assert caplog.messages == [
        f"{tmp_path}/means/name.npy is damaged (it holds int16 of shape (5, 5)): computed again"
    ]


class Damaged(Counted):
    """Unreadable images, except those at `readable`."""

    readable: tuple[int, ...] = ()
    sha256 = "torn"

    def changed(self, skipped: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name, sha256 in skipped.items() if sha256 != self.sha256)

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        out[:] = self.pixels[positions]
        return {
            k: UnreadableImage("cut off", f"train/image{p}", self.sha256)
            for k, p in enumerate(positions)
            if p not in self.readable
        }


def unreadable_view(readable: tuple[int, ...], *, skip: bool) -> View:
    half_view = view()
    subset = Damaged(half_view.subset.pixels, half_view.subset.labels)
    subset.readable = readable
    return View(subset, half_view.positions, half_view.labels, skip_unreadable=skip)


def test_a_mean_of_no_readable_image_is_refused_and_nothing_is_kept(tmp_path: Path):
    with pytest.raises(UserError) as error:
        compute(unreadable_view((), skip=True), tmp_path)
    assert str(error.value) == ("none of the 350 images can be read: is data.root the right one?")
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_image_is_refused_by_name_unless_it_may_be_skipped(tmp_path: Path):
    with pytest.raises(UserError, match=r"^image1 cannot be read: cut off; repair or delete it"):
        compute(unreadable_view((), skip=False), tmp_path)


def test_unreadable_images_do_not_count(tmp_path: Path):
    half_view, progress = unreadable_view((3, 699), skip=True), []
    computed = compute(half_view, tmp_path, progress=progress)
    expected = half_view.subset.pixels[[3, 699]].astype(np.float64).mean(axis=0)
    assert np.array_equal(computed, expected.astype(np.float32))
    assert progress == [1, 2]


def test_a_mean_without_some_images_is_reused_until_one_is_repaired(tmp_path: Path):
    half_view = unreadable_view((3, 699), skip=True)
    first = compute_with_skipped(half_view, tmp_path)
    assert len(first.skipped) == 348 and first.skipped["train/image1"] == "torn"

    again = compute_with_skipped(half_view, tmp_path, progress=(progress := []))
    assert progress == [] and again.skipped == first.skipped
    assert np.array_equal(first.image, again.image)

    half_view.subset.readable, half_view.subset.sha256 = tuple(range(700)), "repaired"
    repaired = compute_with_skipped(half_view, tmp_path, progress=progress)
    assert progress == [256, 350] and repaired.skipped == {}
    assert np.array_equal(repaired.image, compute(view(), tmp_path / "other"))


def test_a_mean_without_some_images_is_not_used_where_none_may_be_skipped(tmp_path: Path):
    compute(unreadable_view((3, 699), skip=True), tmp_path)
    with pytest.raises(UserError, match="image1 cannot be read"):
        compute(unreadable_view((3, 699), skip=False), tmp_path)


@pytest.mark.root
def test_a_mean_that_another_user_put_into_the_cache_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Of the right form: it would decide numbers."""
    expected = compute(view(), tmp_path)
    path = tmp_path / "means/name.npy"
    np.save(path, expected + 1)
    os.chown(path, ALICE, GROUP)
    with caplog.at_level(logging.INFO):
        assert np.array_equal(compute(view(), tmp_path), expected)
    assert caplog.messages[0] == f"{path} belongs to user {ALICE}: computed again"
    assert path.stat().st_uid == os.geteuid()


def test_a_cached_mean_is_never_unpickled(tmp_path: Path):
    witness = tmp_path / "witness"
    (tmp_path / "means").mkdir()
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    evil = f"cos\nsystem\n(Vtouch {witness}\ntR.".encode()
    path = tmp_path / "means/name.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + header + evil)
    computed = compute(view(), tmp_path)
    assert computed.shape == (5, 5, 3)
    assert not witness.exists()


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "means").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        computed = compute(view(), tmp_path)
    assert computed.shape == (5, 5, 3)
    assert "cannot be written" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("the mean will be computed again")


def test_the_key_is_the_golden_one():
    name = mean.key("digest", ("ant", "bee"), size=32, resize="warp", per_class=None)
    assert name == "0b31bbbd08b10b246f581d7e4bcca713"


@pytest.mark.parametrize(
    ("digest", "classes", "settings"),
    [
        ("other", ("ant", "bee"), {}),
        ("digest", ("ant", "cat"), {}),
        ("digest", ("ant",), {}),
        ("digest", ("ant", "bee"), {"size": 64}),
        ("digest", ("ant", "bee"), {"resize": "crop"}),
        ("digest", ("ant", "bee"), {"per_class": 5}),
    ],
)
def test_a_setting_that_changes_the_mean_changes_the_key(
    digest: str, classes: tuple[str, ...], settings: dict
):
    usual = dict(size=32, resize="warp", per_class=None)
    first = mean.key("digest", ("ant", "bee"), **usual)
    assert mean.key(digest, classes, **(usual | settings)) != first


def test_the_order_of_the_settings_does_not_change_the_key():
    first = mean.key("digest", ("ant", "bee"), size=32, resize="warp")
    assert mean.key("digest", ("ant", "bee"), resize="warp", size=32) == first

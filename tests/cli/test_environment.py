"""A value from the environment is used, and no file that a command leaves behind has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commandline import TINY, call, images

SECRET = "hunter2"
ROOT = "data.root=${oc.env:PHOTOS}/small"
WRITTEN = "${oc.env:PHOTOS}/small"


def files(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


@pytest.mark.usefixtures("needs_torch")
def test_no_byte_of_the_store_has_it(place: Path, tmp_path: Path):
    root = images(tmp_path / SECRET / "small", "train", {name: 3 for name in "abcd"})
    images(root, "val", {name: 2 for name in "abcd"})
    photos = {"PHOTOS": str(tmp_path / SECRET)}
    use = [*TINY, "data=image_folder", ROOT]

    code, out, err = call(place, *use, "transfer.variant=baseB", **photos)
    assert code == 0, err
    (tmp_path / "study.yaml").write_text(
        f"- {{split: random, transfer.variant: B1B, data: image_folder, data.root: '{WRITTEN}'}}"
    )
    study = [word for word in TINY if not word.startswith("+split")]
    code, out, err = call(place, "sweep", f"+study={tmp_path}/study.yaml", *study, **photos)
    assert code == 0, err
    code, out, err = call(place, "results")  # where the variable is not set
    assert code == 0 and " small " in out and SECRET not in out + err, err
    root.rename(tmp_path / SECRET / "moved")
    code, _, err = call(place, *use, "transfer.variant=B1B", "seed=1", **photos)
    assert code == 2 and f"data.root={WRITTEN} is not a folder" in err

    left = dict(files(tmp_path / "store", place))
    assert [path for path, content in left.items() if SECRET.encode() in content] == []
    names = {path.name for path, content in left.items() if WRITTEN.encode() in content}
    assert {"config.json", "result.json", "runs.json"} <= names

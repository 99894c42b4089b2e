"""Where a result comes from, and whether the code that runs is the one that was submitted."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import transferlab
from transferlab.runtime import provenance

OLD, NEW = "a" * 64, "b" * 64


def code(digest: str, commit: str | None = "1" * 40, **others: Any) -> dict[str, Any]:
    return {"commit": commit, "dirty": False, "digest": digest, "plugins": {}, **others}


@pytest.mark.parametrize(
    ("submitted", "running", "difference"),
    [
        (code(OLD), code(OLD), None),
        (code(OLD), code(OLD, "2" * 40), None),  # a commit that changed no module
        (code(OLD), code(OLD, dirty=True), None),
        (code(OLD), code(NEW, "2" * 40),
         "submitted with commit 111111111111, started with commit 222222222222"),
        (code(OLD), code(NEW, dirty=True),
         "submitted with commit 111111111111, started with commit 111111111111 and changes "
         "(code bbbbbbbbbbbb)"),
        (code(OLD, None), code(NEW, None),
         "submitted with code aaaaaaaaaaaa, started with code bbbbbbbbbbbb"),
        (code(OLD, plugins={"mine": OLD}), code(OLD, plugins={"mine": NEW}),
         "mine was edited after the submission"),
        (code(OLD, plugins={"mine": OLD}), code(OLD), None),  # of a process without that plug-in
    ],
)  # fmt: skip
def test_code_differs_if_its_modules_do(
    submitted: dict[str, Any], running: dict[str, Any], difference: str | None
):
    assert provenance.difference(submitted, running) == difference


def test_a_library_that_is_an_extra_has_its_version_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
):
    known = {name: "1.0" for name in provenance.PACKAGES}

    def version(name: str) -> str:
        try:
            return known[name]
        except KeyError as error:
            raise metadata.PackageNotFoundError(name) from error

    monkeypatch.setattr(provenance.metadata, "version", version)
    without = provenance.versions()
    known["timm"] = "1.0.31"

    assert "timm" not in without
    assert provenance.versions() == {**without, "timm": "1.0.31"}


def test_the_digest_is_that_of_the_packages_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transferlab, "__file__", str(tmp_path / "__init__.py"))
    digest = provenance._source_digest.__wrapped__
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    before = digest()
    (tmp_path / "notes.txt").write_text("edited")
    assert digest() == before
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "module.py").write_text("x = 1\n")
    added = digest()
    (tmp_path / "room" / "module.py").write_text("x = 2\n")

    assert len({before, added, digest()}) == 3


def test_a_plug_in_is_known_by_its_file_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("raise RuntimeError\n")
    (tmp_path / "mine" / "networks.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    assert provenance.code(["digits", "mine.networks:small", "nowhere:x"])["plugins"] == {
        "mine.networks": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "nowhere": None,
    }


def test_a_record_names_the_code_that_was_submitted_if_another_ran(
    monkeypatch: pytest.MonkeyPatch,
):
    assert "submitted" not in provenance.provenance()
    running = provenance.code()
    monkeypatch.setenv(provenance.SUBMITTED, json.dumps(running))
    assert "submitted" not in provenance.provenance()
    monkeypatch.setenv(provenance.SUBMITTED, json.dumps({**running, "digest": OLD}))

    found = provenance.provenance()
    assert found["submitted"] == {**running, "digest": OLD}
    assert (found["code"], found["commit"]) == (running["digest"], running["commit"])

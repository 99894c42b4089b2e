"""Whether a run has a learning curve, before it is read."""

from pathlib import Path

from transferlab.store.curves import has_curve


def test_a_curve_that_may_exist_is_left_to_whoever_reads_it(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "study.csv").write_text("")
    (tmp_path / "loop").symlink_to("loop")

    assert has_curve(str(tmp_path))
    assert not has_curve(str(tmp_path / "empty"))
    assert not has_curve(str(tmp_path / "study.csv" / "0123456789ab"))  # a run of an archive
    assert has_curve(str(tmp_path / "loop"))  # which cannot be determined

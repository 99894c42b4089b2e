"""A wheel in an empty environment runs from any folder: it carries all that is needed."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_wheel_in_an_empty_environment_runs_from_any_folder(needs_torch: None, tmp_path: Path):
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")

    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in (source / "conf").rglob("*.yaml"):
        assert f"transferlab/{path.relative_to(source)}" in inside
    plugin = source / "transferlab" / "cli" / "hydra_plugin"
    for path in (source / "transferlab").rglob("*.py"):
        if path.is_relative_to(plugin):
            name = f"hydra_plugins/transferlab_launchers/{path.relative_to(plugin)}"
        else:
            name = str(path.relative_to(source))
        assert name in inside
    assert {"transferlab/slurm/job.sbatch", "transferlab/conf/study/quick.yaml"} <= inside
    assert "hydra_plugins/__init__.py" not in inside  # a namespace that others share

    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (packages,) = (tmp_path / "env").glob("lib/*/site-packages")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, "--target", str(packages), str(wheel)], check=True)
    # The dependencies are those installed here; this line does not bring the checkout along
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    here = tmp_path / "here"
    here.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRANSFERLAB", "PYTHON"))}
    environment = kept | {"TRANSFERLAB_CACHE": str(tmp_path / "cache")}
    short = ["train.epochs=null", "train.total_steps=4", "train.val_every=4", "runtime.threads=1"]
    where = subprocess.run(
        [python, "-c", "import transferlab; print(transferlab.__file__)"],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(packages)

    def call(*arguments: str) -> str:
        command = [python, "-m", "transferlab", *arguments, *short]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    table = call("+split=random", "transfer.n=3").splitlines()
    assert [line.split()[0] for line in table[2:]] == ["baseA", "A3B"]
    assert [path.name for path in here.iterdir()] == ["runs"]  # the default store, and no more
    assert (packages / "transferlab" / "experiment" / "splits" / "ilsvrc2012_groups.csv").exists()

    # All are done: that the launcher is found is at stake, and a training would take another 10 s
    several = call("-m", "+split=random", "transfer.variant=baseA,A3B", "hydra/launcher=local")
    assert several.startswith("study multirun: 2 runs (base 1, AnB 1)  in ")
    assert [line.split()[0] for line in several.splitlines()[-2:]] == ["baseA", "A3B"]
    assert "\nall 2 are done: nothing to do\n" in several

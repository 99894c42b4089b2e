"""`--help` and `help`: the commands, groups and keys on one screen."""

import re
from collections.abc import Sequence

from transferlab.cli import hydra_flags
from transferlab.experiment import variants
from transferlab.experiment.conf import CONF, Conf, conf_folder
from transferlab.runtime import output

WIDTH = 100
INDENT = 13  # of the choices
TEXT = """\
transferlab: how transferable are the features of a deep network? (Yosinski et al. 2014)
usage: python -m transferlab [COMMAND] [GROUP=CHOICE] [KEY=VALUE] ...

commands
  run        train one network, first its base; finished runs are skipped (the default command)
  sweep      train a whole study: +study=NAME [launcher=local*|slurm] [dry_run=true]
  status     list done, running, queued, failed and missing runs; --watch, --json, --study NAME
  results    print a table (--table table1, ...), draw a figure (--plot figure2, ...); --format
  report     write all tables and figures as one HTML page; --out report.html
  prepare    decode and resize a folder of images once, for data=prepared; --root DIR --out DIR
  sync       rebuild Weights & Biases from the store; --online to upload it
  retry      start failed and dead runs again, with their dependents; --failed, --stale
  rerun      train a finished run again and compare the weights; FOLDER [--into DIR]
  evaluate   ask finished runs without training: RUN ... --crops, --scales, --dense, --average
  export     write the weights of a finished run under its library's names; RUN --out FILE
  cancel     cancel this store's SLURM jobs
  inspect    the operations of a network: sizes, receptive fields, costs; NAME, --list, --against
  bench      measure speed as ratios: loader, pack, trainer, startup, step, study

groups (files of conf/; * is the default, and +split has none)
  +split     {split}
  data       {data}
  model      {model}
  train      {train}
  logger     {logger}
  +study     {study}

keys
  transfer.variant  {variants}; or A3B+, baseA
  transfer.n        copy the first n layers, 0 to 7: frozen, or with + fine-tuned
  split.seed=0  data.root=DIR  train.epochs=15  runtime.store=runs (or TRANSFERLAB_STORE)

examples
  python -m transferlab +split=random transfer.n=3
  python -m transferlab -m +split=random transfer.variant=AnB,BnB 'transfer.n=range(1,8)'
  python -m transferlab +split=random data=imagenet data.root=DIR model=alexnet \\
      train=yosinski2014 transfer.variant=A5B+
All keys with their defaults: --cfg job. Hydra's own help: --hydra-help. Versions: --version.
Exit status: 0 done, 1 failed, 2 usage error, 75 interrupted (run the command again to resume).
"""


def run(arguments: Sequence[str]) -> int:
    """Print the help."""
    output.show(*text(hydra_flags.conf(arguments)).splitlines())
    return 0


def text(conf: Conf = CONF) -> str:
    """The help, with the choices of the groups and the defaults of conf/ marked."""
    defaults = dict(re.findall(r"^  - (\w+): (\w+)$", _config(), re.MULTILINE))
    groups = ("split", "data", "model", "train", "logger", "study")
    listed = {group: _line(group, conf.choices(group), defaults.get(group)) for group in groups}
    return TEXT.format(**listed, variants=" ".join(_starred(variants.PATTERNS, "AnB")))


def _line(group: str, names: Sequence[str], default: str | None) -> str:
    """All names if they fit on the line, else the default, the first others and their number."""
    line = ", ".join(_starred(names, default))
    ordered = _starred(sorted(names, key=lambda name: name != default), default)
    shown = len(names)
    while len(line) > WIDTH - INDENT:
        shown -= 1
        line = f"{', '.join(ordered[:shown])}, and {len(names) - shown} more in conf/{group}/"
    return line


def _starred(names: Sequence[str], default: str | None) -> list[str]:
    return [f"{name}*" if name == default else name for name in names]


def _config() -> str:
    return (conf_folder() / "config.yaml").read_text("utf-8")

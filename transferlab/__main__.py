"""The front door: which command, arguments in, one call, its outcome out.

Exit status: 0 done, 1 failed, 2 wrong use, 75 interrupted and resumable. What a script may want to
read goes to stdout, everything else to stderr. Light until a command needs more.
"""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from transferlab.errors import Interrupted, RunFailed, UserError

HELP = """\
transferlab: how transferable are the features of a deep network, layer by layer?
(Yosinski et al. 2014, arXiv 1411.1792)

usage: python -m transferlab [COMMAND] [GROUP=CHOICE] [KEY=VALUE] ...

commands
  run        train one network, and the base network it starts from, unless the store has
             them (the default: a line without a command is a run)
  sweep      a whole study: +study=NAME [launcher=local*|slurm] [dry_run=true] [sweep.pack=K]
  status     what is done, running, queued, failed and why; --watch, --json, --study NAME
  results    finished runs and the paper's tables; --table figure2|figure3|table1|decomposition,
             --metric, --format, --out FILE, --store published:yosinski2014; or --plot figure2
  report     the same with every figure, and what is missing, as one page; --out report.html
  prepare    decode and resize a folder of images once, for data=prepared; --root DIR --out DIR
  sync       rebuild Weights & Biases from the store; --online sends it, else a folder
  retry      start again what failed or vanished; --failed, --stale
  cancel     take this store's jobs out of SLURM's queue
  bench      measure what is fast, and by how much: loader, pack, trainer, startup, step, study

groups (conf/; +split is yours to choose, the rest has defaults)
  +split     random, manmade_natural, whole                       split.seed=0
  data       digits*, image_folder, imagenet, prepared, cifar10, cifar100   data.root=DIR
  model      alexnet_small*, alexnet
  train      quick*, small32, yosinski2014, yosinski2014_reduced  train.epochs=15
  logger     csv*, tensorboard, wandb
  transfer.variant  base AnB* BnB AnB+ BnB+ BnA AnA BnA+ AnA+ RnA RnB, or A3B+, baseA
  transfer.n        so many first layers are copied: 0..7; + lets them learn, else frozen
  runtime.store     where runs are kept: runs*, or TRANSFERLAB_STORE

examples
  python -m transferlab +split=random transfer.n=3
  python -m transferlab -m +split=random transfer.variant=AnB,BnB 'transfer.n=range(1,8)'
  python -m transferlab +split=random data=imagenet data.root=DIR model=alexnet \\
      train=yosinski2014 transfer.variant=A5B+

Every key with its default: --cfg job. Hydra's own help: --hydra-help.
Exit status: 0 done, 1 failed, 2 wrong use, 75 interrupted (the same command goes on).
"""


# The commands, each in a module of its own that is imported when it is wanted
COMMANDS = (
    "run", "sweep", "status", "results", "report", "prepare", "sync", "retry", "cancel",
    "bench", "work",
)  # fmt: skip
WITH_OVERRIDES = ("run", "sweep")  # the others have flags, and help on them, of their own
HELP_FLAGS = {"-h", "--help"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = bool(os.environ.get("TRANSFERLAB_DEBUG"))
    try:
        name, rest = _command(arguments)
        if not arguments or name == "help" or (name in WITH_OVERRIDES and HELP_FLAGS & {*rest}):
            print(HELP, end="")
            return 0 if arguments else UserError.exit_code
        command = importlib.import_module(f"transferlab.cli.{name}")
        return int(command.run(rest))
    except (UserError, RunFailed) as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        if debug:
            traceback.print_exc()
        reason = str(error) or "stopped by SIGINT"
        print(f"{reason}; give the same command to go on from there", file=sys.stderr)
        return Interrupted.exit_code
    except BrokenPipeError:  # the reader of our stdout has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command's name and its arguments: a leading word without `=` is a command."""
    first = arguments[0] if arguments else "help"
    if "=" in first or first.startswith(("-", "+", "~")):
        return "run", list(arguments)
    if first in COMMANDS or first == "help":
        return first, list(arguments[1:])
    near = difflib.get_close_matches(first, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of: {' '.join(COMMANDS)}"
    raise UserError(f"{first} is not a command of this version: {hint}")


def console() -> None:
    """The console script `transferlab`."""
    sys.exit(main())


if __name__ == "__main__":
    console()

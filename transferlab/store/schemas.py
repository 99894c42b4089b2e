"""The records of a store: for each kind its schema, its largest size, and what to do with damage.

A key that may be missing is one that an earlier version did not write. Unknown keys are ignored.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict

from transferlab.runtime.reading import MEGABYTE
from transferlab.runtime.typed import Between, Form

FORMAT = 1  # of the store's records; increased when an older version would misread them
LARGEST = 2**63 - 1

RunId = Annotated[str, Form(r"[0-9a-f]{12}", "12 hexadecimal digits")]
Sha256 = Annotated[str, Form(r"[0-9a-f]{64}", "64 hexadecimal digits")]
JobId = Annotated[str, Form(r"[0-9]{1,20}", "the number of a job")]
Role = Annotated[str, Form(r"[a-z]{1,20}", "the role of a job")]
Line = Annotated[str, Form(r"[^\0]*", "a text without a NUL")]
Count = Annotated[int, Between(0, LARGEST)]
AtLeastOne = Annotated[int, Between(1, LARGEST)]
Fraction = Annotated[float, Between(0, 1)]
NonNegative = Annotated[float, Between(0, math.inf)]


class Config(TypedDict):
    """`config.json`: what the folder was made for. `config` is checked by `build_config`."""

    id: RunId
    label: str
    config: dict[str, Any]


class Losses(TypedDict):
    val_loss_final: NotRequired[float | None]
    train_loss_final: NotRequired[float | None]


class Accuracies(Losses):
    """Of a run with one label an image."""

    top1_final: Fraction
    top1_best10: NotRequired[Fraction | None]
    top1_peak: Fraction
    chance: Fraction
    train_accuracy_final: NotRequired[Fraction | None]


class Precisions(Losses):
    """Of a run with several labels an image: see `experiment.metrics`."""

    map11_final: Fraction
    map11_best10: Fraction | None
    map11_peak: Fraction
    map_final: Fraction
    map_best10: Fraction | None
    map_peak: Fraction
    chance: Fraction
    map11_guess: Fraction
    map_guess: Fraction


class Given(TypedDict):
    """Of a network that was trained elsewhere: no accuracy, and the tensors that it has."""

    tensors: AtLeastOne


class Code(TypedDict):
    """The code that ran: see `runtime.provenance.code`."""

    commit: str | None
    dirty: bool | None
    digest: Sha256
    plugins: dict[str, Sha256 | None]


class Cost(TypedDict):
    """What a training step of the run costs by itself: see `training.cost`."""

    learning_parameters: Count
    training_macs: Count
    step_s: NonNegative | None
    peak_bytes: Count | None
    step_images: AtLeastOne


class Result(TypedDict):
    """`result.json`: see `training.result.make_record`."""

    id: RunId
    label: str
    config: dict[str, Any]
    metrics: Given | Precisions | Accuracies
    learned: bool
    prefix_unchanged: bool | None
    base_id: RunId | None
    weights_sha256: Sha256
    inference_sha256: NotRequired[Sha256]
    num_classes: Count  # as the images, 0 of a network that was trained elsewhere, or unknown
    undefined_classes: NotRequired[list[str]]
    train_images: Count
    val_images: Count
    data_classes: NotRequired[AtLeastOne]
    data_images: NotRequired[AtLeastOne]
    skipped: list[str] | dict[str, Sha256]  # a list, which is empty, until revision 2
    steps: Count
    images: Count
    time_s: NonNegative
    pack_size: NotRequired[AtLeastOne]
    images_per_s: NonNegative
    cost: NotRequired[Cost]
    finished: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    code: NotRequired[Sha256]
    submitted: NotRequired[Code]
    host: str
    cpu_count: AtLeastOne | None
    threads: AtLeastOne
    device: str
    account: NotRequired[dict[str, Any]]  # of a network that was trained elsewhere


class Failure(TypedDict):
    """`failure.json`: why the last attempt stopped."""

    error: str
    time: NotRequired[str]


class Owner(TypedDict):
    """`owner.json`: the process that trains the run, and its progress."""

    host: str
    pid: AtLeastOne
    heartbeat: str
    group: NotRequired[str | None]
    step: NotRequired[Count]
    total_steps: NotRequired[Count]
    left_s: NotRequired[NonNegative | None]


class Note(TypedDict):
    """`TASK.json` of a job: how one of its tasks was started, and how it ended."""

    queued_as: NotRequired[str]
    starts: NotRequired[Count]
    started: NotRequired[str | None]
    host: NotRequired[str]
    ended: NotRequired[str | None]
    code: NotRequired[int | None]
    worker: NotRequired[int | None]
    signals: NotRequired[list[str] | None]
    asked: NotRequired[float | None]
    trained: NotRequired[list[Count | None]]
    idle: NotRequired[Count]


class JobRecord(TypedDict):
    """`job.json`: the packs of its tasks, and how it was submitted."""

    packs: list[list[RunId]]
    role: Role
    submitted: str
    options: list[Line]
    id: JobId | None
    superseded: NotRequired[bool]
    code: NotRequired[Code | None]


class Edited(TypedDict):
    """`TASK.edited.json` of a job: how its code differs from that of the submission."""

    difference: str


class SweepRecord(TypedDict):
    """`sweep.json`: how a study is launched. `launcher` is checked by `build_launcher`."""

    study: str
    pack: AtLeastOne | None
    launcher: dict[str, Any]


class ManifestRecord(TypedDict):
    """`runs.json`: the configs of a sweep. A row is a run's id, that of its base, and a value for
    each of the columns."""

    common: dict[str, Any]
    columns: list[str]
    runs: list[list[Any]]


class PreprocessingRecord(TypedDict):
    channels: str
    size: AtLeastOne
    resize: str
    crop: AtLeastOne
    mean_sha256: Sha256 | None
    scale: tuple[float, float, float] | float  # a factor each of red, green, blue, or one of all
    grey: NotRequired[bool]
    decode: NotRequired[str]


class InferenceRecord(TypedDict):
    """`inference.json`: what the network of a finished run is, takes and gives."""

    model: str
    reduction: NotRequired[str | None]
    num_outputs: Count  # 0: without a classifier
    classes: list[str]
    preprocessing: PreprocessingRecord
    precision: str
    channels_last: bool


class NetworkRecord(TypedDict):
    """The files that make a network what it is: see `Result`."""

    weights_sha256: Sha256
    inference_sha256: Sha256


class QuestionRecord(TypedDict):
    """What an evaluation asks, of which images and networks; its digest is the evaluation's id.

    `rules` are those of its protocol. `settings` are checked by the protocol, `data` is the digest
    of the images, of which training ones are the first `per_class` of each class.
    """

    protocol: Line
    rules: AtLeastOne
    settings: dict[str, Any]
    data: Line
    per_class: AtLeastOne | None
    networks: list[NetworkRecord]


class EvaluatedRecord(TypedDict):
    """A run that was evaluated, and its own metrics beside those of all."""

    id: RunId
    label: Line
    model: Line
    metrics: dict[str, float | None]


class SourceRecord(TypedDict):
    """The data set of an evaluation, as a config names it."""

    name: Line
    root: str | None


class EvaluationRecord(TypedDict):
    """`evaluations/ID.json`: see `evaluation.ask`. `text` has the settings in words."""

    id: RunId
    question: QuestionRecord
    text: Line
    runs: list[EvaluatedRecord]
    source: SourceRecord
    images: AtLeastOne
    metrics: dict[str, float | None]
    details: dict[str, Any]
    skipped: dict[str, Sha256]
    time_s: NonNegative
    finished: str
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    code: Sha256
    host: str
    cpu_count: AtLeastOne | None
    threads: AtLeastOne
    device: str


class MirrorNote(TypedDict):
    """`transferlab.json` in a folder of W&B that `sync` has written."""

    digest: str | None


@dataclass(frozen=True)
class RecordKind:
    """A kind of record. `remedy` is what to do with a damaged one; `versioned` ones have a
    `format`, and only those of this version are read."""

    schema: Any
    limit: int  # bytes
    remedy: str = "delete it"
    versioned: bool = True


RESTORE = "restore the right file, or delete it"
CONFIG = RecordKind(Config, MEGABYTE, RESTORE)
RESULT = RecordKind(Result, 256 * MEGABYTE, f"{RESTORE} to train the run again")
INFERENCE = RecordKind(InferenceRecord, 16 * MEGABYTE, RESTORE)
EVALUATION = RecordKind(EvaluationRecord, 16 * MEGABYTE, "delete it to evaluate again")
FAILURE = RecordKind(Failure, MEGABYTE, versioned=False)
OWNER = RecordKind(Owner, MEGABYTE, versioned=False)
NOTE = RecordKind(Note, MEGABYTE)
EDITED = RecordKind(Edited, MEGABYTE)
JOB = RecordKind(JobRecord, 64 * MEGABYTE, "delete its folder")
SWEEP = RecordKind(SweepRecord, MEGABYTE, "delete its folder and run sweep again")
MANIFEST = RecordKind(ManifestRecord, 1024 * MEGABYTE, "delete its folder and run sweep again")
MIRROR = RecordKind(MirrorNote, MEGABYTE)

"""The digest of prepared data: one of the images, labels and settings.

Neither the place nor the order in which the chunks were made counts, nor whether it was in one go.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from transferlab.data.datasets import prepared
from transferlab.data.datasets.prepared import Pixels
from transferlab.data.prepare import chunks

SHA256_BYTES = 32


@dataclass(frozen=True)
class Content:
    """What counts of a subset: slots (N,), which of its files could be read, labels (N,), and the
    digests of all its chunks, chunks_sha256 (K, 32) uint8."""

    slots: np.ndarray
    labels: np.ndarray
    chunks_sha256: np.ndarray


def of_all(pixels: Pixels, classes: Sequence[str], subsets: Iterable[Content]) -> str:
    """The digest of the training and the validation images."""
    head = {"format": prepared.FORMAT, "chunk": chunks.CHUNK, "subsampling": chunks.SUBSAMPLING}
    text = json.dumps({**head, **asdict(pixels), "classes": tuple(classes)}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for content in subsets:
        digest.update(content.slots.astype("<i8").tobytes())
        digest.update(content.labels.astype("<i8").tobytes())
        digest.update(content.chunks_sha256.tobytes())
    return digest.hexdigest()

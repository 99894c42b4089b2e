"""How far `data.decode=scaled` is from `exact`: `python tests/benchmarks/scales.py DIR`.

For 256 and 32 pixels a side: the mean absolute difference of grey levels over all JPEGs below DIR,
the largest mean of one picture, and how many pictures were decoded at a scale at all.
"""

import sys
from pathlib import Path

import numpy as np

from transferlab.data.datasets import decode

ENDS = (".jpg", ".jpeg")


def main(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDS)
    for size in (256, 32):
        apart, scaled = [], 0
        for path in files:
            exact, coarse = decode.read(str(path)), decode.read(str(path), least=size)
            scaled += exact.shape != coarse.shape
            fitted = (decode.fit(p, size=size, resize="warp").astype(int) for p in (exact, coarse))
            apart.append(float(np.abs(np.subtract(*fitted)).mean()))
        print(
            f"{size} pixels: {np.mean(apart):.2f} grey levels apart, at most {max(apart):.2f} in a "
            f"picture; {scaled} of {len(files)} decoded at a scale"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

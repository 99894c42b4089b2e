"""The results of finished runs: one table, the paper's tables and figures, the page; no torch.

May import: errors, runtime, experiment, store.
"""

from transferlab.results.catalogue import table
from transferlab.results.judgement import with_metric
from transferlab.results.left_out import KINDS
from transferlab.results.loading import Results, curves, judged, load

__all__ = ["KINDS", "Results", "curves", "judged", "load", "table", "with_metric"]

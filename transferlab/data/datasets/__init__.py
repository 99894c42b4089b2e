"""Data sets, one file each, each with a line in `data.DATASETS`."""

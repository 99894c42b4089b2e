"""Architectures, one file a family, each with a line in `models.NETWORKS`."""

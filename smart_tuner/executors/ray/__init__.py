"""Trials on a Ray cluster, without a file system in common; docs/ray.md."""

"""Trials on a Ray cluster without a shared file system; see docs/ray.md."""

"""Keeps MLflow up to date with a study: one way, rebuildable, in a process of its own."""

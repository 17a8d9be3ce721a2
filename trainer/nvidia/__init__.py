"""Checkpoints of NVIDIA/tacotron2: read, written, and their table of symbols."""

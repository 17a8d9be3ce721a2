"""Import and export of checkpoints of NVIDIA/tacotron2, and its symbol table."""

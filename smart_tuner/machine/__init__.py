"""What this machine can carry, and how its GPUs and memory are shared out among trials."""

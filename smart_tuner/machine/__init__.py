"""How many trials this machine can run, and how its GPUs and memory are shared among them."""

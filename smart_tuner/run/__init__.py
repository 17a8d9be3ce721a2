"""One process that runs trials of studies: a pool of slots, each of which runs one trial at a time."""

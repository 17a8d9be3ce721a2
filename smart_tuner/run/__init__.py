"""One process at work on studies: a pool of slots, each of which runs one trial at a time."""

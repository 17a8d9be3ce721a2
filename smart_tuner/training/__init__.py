"""From the best setting of a study to a voice: one long training, as a study of its own with a single trial."""

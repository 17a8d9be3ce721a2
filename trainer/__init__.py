"""Train one Tacotron 2 voice. Knows nothing of the tuner that may have asked for it."""

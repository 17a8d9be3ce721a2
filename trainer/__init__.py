"""Train one Tacotron 2 voice. Knows nothing of the tuner that may have asked for it."""

# By this line `smart_tuner.trainer_package` tells this package from others of its name.
PROJECT = "smart-tuner"

"""Train one Tacotron 2 voice. Knows nothing of the tuner that may have started it."""

# `smart_tuner.trainer_package` recognises this package, among others of the name `trainer`, by this line.
PROJECT = "smart-tuner"

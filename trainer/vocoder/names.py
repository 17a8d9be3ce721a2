"""What a vocoder is asked for by. Standard library alone: the tuner names them, too."""

AUTO = "auto"
HIFIGAN = "hifigan"
GRIFFIN_LIM = "griffin-lim"

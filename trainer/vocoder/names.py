"""What a vocoder is asked for by. Standard library alone."""

import argparse

AUTO = "auto"
HIFIGAN = "hifigan"
GRIFFIN_LIM = "griffin-lim"


def add_vocoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vocoder",
        default=AUTO,
        metavar="NAME",
        help=f"what makes the sound: {HIFIGAN}, {GRIFFIN_LIM}, or the file of a HiFi-GAN generator "
        f"(default: {HIFIGAN} where it is installed and fits)",
    )

"""`smart-tuner ...` that measures the speed of the machine for a second, not for fifteen."""

import smart_tuner.training.speed
from smart_tuner.cli.app import main

if __name__ == "__main__":
    smart_tuner.training.speed.SECONDS = 1.0
    main()

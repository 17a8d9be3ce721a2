"""`python -m smart_tuner` is `smart-tuner`."""

from smart_tuner.cli.app import main

if __name__ == "__main__":
    main()

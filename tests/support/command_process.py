"""`smart-tuner ...` with the fake trainer, in its own process: `python command_process.py status --study lab.yaml`."""

from tuner_process import FAKE, no_corpus

import smart_tuner.executors.local
import smart_tuner.run.corpus
import smart_tuner.run.pool
from smart_tuner.cli.app import main
from smart_tuner.executors.local import LocalExecutor

if __name__ == "__main__":
    smart_tuner.run.corpus.prepare_corpus = no_corpus
    smart_tuner.run.pool.WATCH_SECONDS = 0.1
    smart_tuner.executors.local.from_settings = lambda settings: LocalExecutor(settings.stop_grace_seconds, FAKE)
    main()

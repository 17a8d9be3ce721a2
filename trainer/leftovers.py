"""What a trial leaves behind in its process: given back where that is possible, and measured where it is not."""

import gc
import logging

import torch

from trainer.memory import resident_bytes, return_free_blocks

MOST_GROWTH = 256 * 2**20  # bytes of the machine's memory, or of the GPU's, since the first trial

# In the log, where no other trial follows.
FAILED = "the memory of the trial cannot be given back"
GREW = "no other trial follows"

log = logging.getLogger(__name__)


class Leftovers:
    """Of the trials of one process, which run in turn."""

    def __init__(self) -> None:
        self._first: dict[str, int] | None = None

    def give_back(self) -> bool:
        """Free the models, graphs and caches of the trial that has ended. False where another one must not follow.

        That is so where more is held than after the first trial, by more than MOST_GROWTH, or the device fails.
        """
        try:
            held = _free()
        except (RuntimeError, MemoryError) as error:
            log.warning("%s: %s", FAILED, error)
            return False
        if self._first is None:
            self._first = held
            if not gc.get_freeze_count():
                gc.freeze()  # as in `trainer.device.warm_up`
        grown = {where: held[where] - before for where, before in self._first.items()}
        for where, more in grown.items():
            if more > MOST_GROWTH:
                log.warning("%s: %d MB more of %s are held than after the first one", GREW, more / 1e6, where)
        return max(grown.values()) <= MOST_GROWTH


def _free() -> dict[str, int]:
    """-> bytes that are still held, by where. Raises RuntimeError where the device fails."""
    gc.collect()
    on_gpu = 0
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        on_gpu = torch.cuda.memory_reserved()
    return_free_blocks()
    return {"the machine's memory": resident_bytes(), "the GPU's memory": on_gpu}

"""Which exit code an exception means: too little memory, no space on the disk, bad input, or a crash.

Standard library only. Libraries report the same failure in different ways; the known ones are listed here, each with
its library. The exceptions that an exception was raised from count as well.
"""

import errno
import re
from collections.abc import Iterator

from trainer.errors import UserError
from trainer.protocol import ExitCode

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
_TORCH_CANNOT_WRITE = (
    "PytorchStreamWriter failed writing file",  # within a tensor
    "unexpected pos",  # when the file is ended
    "iostream error",
    "open file failed with strerror: No space",
    "open file failed with strerror: Read-only",
)
_NUMPY_CANNOT_WRITE = re.compile(r"\d+ requested and \d+ written")  # ndarray.tofile: an OSError without a number
_MEMORY_MESSAGES = (
    "can't allocate memory",  # torch's allocator for the CPU
    "cannot allocate memory",  # the C library: mmap, dlopen
    "not enough memory",  # torch, for absurd sizes
    "std::bad_alloc",  # C++
    "out of memory",  # CUDA
    "alloc_failed",  # cuBLAS, cuDNN
)
# oneDNN, without memory for its code or scratchpad. For an unsupported operation it says "a primitive descriptor".
_ONEDNN_LACKS_MEMORY = re.compile(r"could not (create|execute) a primitive$")


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of a run that `error` ended.

    A UserError is bad input, unless memory or the disk caused it, and so is a file that this user may not use.
    """
    chain = list(_chain(error))
    if any(is_out_of_memory(link) for link in chain):
        return ExitCode.OUT_OF_MEMORY
    if any(is_no_space(link) for link in chain):
        return ExitCode.NO_SPACE
    return ExitCode.BAD_INPUT if isinstance(error, UserError | PermissionError) else ExitCode.CRASHED


def is_out_of_memory(error: BaseException) -> bool:
    """The device or the machine has too little memory."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    message = str(error).lower()
    if isinstance(error, RuntimeError | ImportError | OSError) and any(known in message for known in _MEMORY_MESSAGES):
        return True
    if isinstance(error, RuntimeError) and _ONEDNN_LACKS_MEMORY.match(message):
        return True
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def is_no_space(error: BaseException) -> bool:
    """The disk is full or cannot be written."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE or bool(_NUMPY_CANNOT_WRITE.search(str(error)))
    return isinstance(error, RuntimeError) and any(known in str(error) for known in _TORCH_CANNOT_WRITE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that it was raised from or while handling."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

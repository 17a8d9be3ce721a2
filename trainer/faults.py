"""Which exit code an exception means: too little memory, no space on the disk, or a crash.

Standard library only. Libraries tell the same fault in many ways; those that are known are listed here, each with who
says so. An exception counts as what it was raised from, too.
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
_MEMORY_WORDS = (
    "can't allocate memory",  # torch's allocator for the CPU
    "cannot allocate memory",  # the C library: mmap, dlopen
    "not enough memory",  # torch, of sizes beyond all bounds
    "std::bad_alloc",  # C++
    "out of memory",  # CUDA
    "alloc_failed",  # cuBLAS, cuDNN
)
# oneDNN, where memory for its code or its scratchpad is refused; of what it cannot do it says "a primitive descriptor".
_ONEDNN_LACKS_MEMORY = re.compile(r"could not (create|execute) a primitive$")


def exit_code_of(error: BaseException) -> ExitCode:
    """Of an exception that ended a run. A mistake of the user's counts as one, unless the disk was behind it."""
    chain = list(_chain(error))
    if any(is_out_of_memory(each) for each in chain):
        return ExitCode.OUT_OF_MEMORY
    if any(is_no_space(each) for each in chain):
        return ExitCode.NO_SPACE
    return ExitCode.BAD_INPUT if isinstance(error, UserError) else ExitCode.CRASHED


def is_out_of_memory(error: BaseException) -> bool:
    """Of the device or of the machine."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    words = str(error).lower()
    if isinstance(error, RuntimeError | ImportError | OSError) and any(each in words for each in _MEMORY_WORDS):
        return True
    if isinstance(error, RuntimeError) and _ONEDNN_LACKS_MEMORY.match(words):
        return True
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def is_no_space(error: BaseException) -> bool:
    """The disk is full or cannot be written."""
    if isinstance(error, OSError):
        return error.errno in NO_SPACE or bool(_NUMPY_CANNOT_WRITE.search(str(error)))
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _TORCH_CANNOT_WRITE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it was raised from, and what was being handled then."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

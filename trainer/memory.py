"""What a process that trains asks of the system's memory allocator."""

import ctypes
import sys

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_large_blocks() -> bool:
    """Keep freed memory for the next update, instead of giving it back and touching each page anew; say whether.

    Tensors of many megabytes come and go with each update; on two cores this made training 10 to 15 % faster.
    Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 64 * 2**20}
    return all(library.mallopt(parameter, value) for parameter, value in settings.items())

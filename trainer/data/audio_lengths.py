"""How much of an audio file is missing, by what its container says about its length. Reads headers only.

Decoders read a WAV that was cut short without an error. Covers WAV (RIFF, RIFX, RF64), AIFF and Ogg; of FLAC and MP3
the decoder reports the length (`trainer.data.audio_files`). An Ogg file cut between two of its pages is not recognised.
"""

import os
from typing import BinaryIO, Literal

# Lengths from here on stand for a length that was unknown when the header was written: 0x7FFFF000 (SoX),
# 0x7FFFFFFF (arecord), 0x80000000, 0xFFFFFFFF (ffmpeg). A clip of 2 GiB is no clip.
UNKNOWN_LENGTH = 0x7FFFF000
HEADER_BYTES = 64  # some programs count the header as samples
MOST_CHUNKS = 1000  # before the samples
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the largest page


def missing_share(file: BinaryIO) -> float:
    """The share of the samples' bytes that is missing at the end of `file`, in [0, 1); 0 where nothing says so."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] == b"OggS":
        return _missing_of_last_page(file, size)
    if magic[:4] in (b"RIFF", b"RF64", b"BW64") and magic[8:] == b"WAVE":
        return _missing_of_chunk(file, size, b"data", "little")
    if magic[:4] == b"RIFX" and magic[8:] == b"WAVE":
        return _missing_of_chunk(file, size, b"data", "big")
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return _missing_of_chunk(file, size, b"SSND", "big")
    return 0.0


def _missing_of_chunk(file: BinaryIO, size: int, name: bytes, order: Literal["little", "big"]) -> float:
    """Of the chunk `name`, in a file of chunks that stand one after the other from byte 12 on."""
    large = 0  # the length that RF64 gives for a chunk of 4 GiB or more
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return 0.0
        length = int.from_bytes(head[4:], order)
        start = file.tell()
        if head[:4] == name:
            length = large if length == 0xFFFFFFFF and large else length
            known = length < UNKNOWN_LENGTH or length == large
            missing = start + length - size
            return missing / length if known and missing > HEADER_BYTES else 0.0
        if head[:4] == b"ds64":
            large = int.from_bytes(file.read(16)[8:], order)
        file.seek(start + length + length % 2)
    return 0.0


def _missing_of_last_page(file: BinaryIO, size: int) -> float:
    """Of an Ogg file's last page; RFC 3533, section 6."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read(_OGG_PAGE)
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    whole = 27 + segments + sum(page[27 : 27 + segments])
    return max(0, whole - len(page)) / size

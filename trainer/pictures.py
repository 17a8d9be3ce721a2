"""Pictures of attention and of mels, as PNG for files and for TensorBoard.

Drawn on a bitmap: a plotting library takes thirty times as long, a tenth of a short run. The colours and the font,
which has Cyrillic, are matplotlib's. The same input gives the same bytes.
"""

import io
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Array = npt.NDArray[np.float32]
Mel = npt.NDArray[np.floating[Any]]  # features are kept as float16
Shades = npt.NDArray[np.uint8]

WIDTH = 640  # pixels
_LEAST_HEIGHT, _MEL_HEIGHT = 400, 180
_TOP, _BOTTOM, _RIGHT = 28, 34, 52
_LETTER = 7  # pixels; the least height of a letter at which a text can be read
_SHADES = 240


def draw_alignment(attention: Array, text: str, title: str) -> bytes:
    """Attention (T, N): decoder steps from left to right, the text's letters from bottom to top."""
    height = max(_LEAST_HEIGHT - _TOP - _BOTTOM, _LETTER * len(text))
    sheet = _Sheet(title, height, 30, "magma")
    # The scale reaches at least 0.5, so that uniform attention looks dark.
    values = np.nan_to_num(attention.T)
    high = max(0.5, float(values.max()))
    sheet.plot(values, sheet.top, height, 0.0, high)
    sheet.scale(0.0, high)
    row = height / len(text)
    for i, letter in enumerate(text):
        sheet.write(sheet.left - 5, sheet.bottom - (i + 0.5) * row, letter, "rm", min(11, int(row) + 2))
    sheet.ticks(len(attention), "decoder step")
    return sheet.png()


def draw_mels(rows: Mapping[str, Mel], title: str) -> bytes:
    """Log-mels (L, M), stacked, on one scale of time and of colour."""
    mels = {name: np.nan_to_num(np.asarray(mel, dtype=np.float32)) for name, mel in rows.items()}
    longest = max(len(mel) for mel in mels.values())
    low, high = min(float(m.min()) for m in mels.values()), max(float(m.max()) for m in mels.values())
    gap = 8
    sheet = _Sheet(title, len(mels) * (_MEL_HEIGHT + gap) - gap, 70, "viridis")
    for i, (name, mel) in enumerate(mels.items()):
        top = sheet.top + i * (_MEL_HEIGHT + gap)
        sheet.plot(mel.T, top, _MEL_HEIGHT, low, high, share=len(mel) / longest)
        sheet.write(sheet.left - 5, top + _MEL_HEIGHT / 2, name, "rm")
    sheet.scale(low, high)
    sheet.ticks(longest, "frame")
    return sheet.png()


class _Sheet:
    """A white page with one plot area, whose edges are `left`, `top`, `right` and `bottom` in pixels.

    Of its 256 colours `_SHADES` are for values and 16 are greys, so that a pixel is one byte.
    """

    def __init__(self, title: str, height: int, left: int, colours: str) -> None:
        self._page = Image.new("L", (WIDTH, _TOP + height + _BOTTOM), "white")
        self._draw = ImageDraw.Draw(self._page)
        self._plots: list[tuple[int, int, Shades]] = []
        self._colours = colours
        self.left = left
        self.top = _TOP
        self.right = WIDTH - _RIGHT
        self.bottom = _TOP + height
        while self._draw.textlength(title, _font(12)) > WIDTH - 20:
            title = title.rstrip("…")[:-1] + "…"
        self.write(WIDTH / 2, _TOP / 2, title, "mm", 12)

    def write(self, x: float, y: float, text: str, anchor: str, size: int = 11) -> None:
        self._draw.text((x, y), text, "black", _font(size), anchor)

    def plot(self, values: Array, top: int, height: int, low: float, high: float, share: float = 1.0) -> None:
        """values: (rows, columns), row 0 at the bottom; share: of the width that the picture takes."""
        width = max(1, round(share * (self.right - self.left)))
        levels = (values[::-1] - low) * ((_SHADES - 1) / max(high - low, 1e-9))
        cells = Image.fromarray(levels.clip(0, _SHADES - 1).astype(np.uint8))
        # Enlarging keeps the cells' edges; reducing averages, so that no cell is lost.
        for size in ((width, cells.height), (width, height)):
            smaller = size < cells.size
            cells = cells.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)
        self._plots.append((self.left, top, np.asarray(cells)))

    def scale(self, low: float, high: float) -> None:
        """The colour scale, to the right of the plot."""
        left = self.right + 8
        shades = np.linspace(_SHADES - 1, 0, self.bottom - self.top).astype(np.uint8)
        self._plots.append((left, self.top, np.repeat(shades[:, None], 8, axis=1)))
        self.write(left + 11, self.top, f"{high:.3g}", "lt", 10)
        self.write(left + 11, self.bottom, f"{low:.3g}", "lb", 10)

    def ticks(self, count: int, what: str) -> None:
        """Ticks at round numbers below the plot, which is `count` steps wide."""
        for at in range(0, count, _round_step(count)):
            x = self.left + (at + 0.5) / count * (self.right - self.left)
            self._draw.line([(x, self.bottom), (x, self.bottom + 3)], "black")
            self.write(x, self.bottom + 5, str(at), "mt", 10)
        self.write((self.left + self.right) / 2, self.bottom + _BOTTOM - 3, what, "mb")

    def png(self) -> bytes:
        pixels = _SHADES + (np.asarray(self._page) >> 4)
        for left, top, shades in self._plots:
            pixels[top : top + len(shades), left : left + shades.shape[1]] = shades
        image, content = Image.fromarray(pixels), io.BytesIO()
        image.putpalette(_palette(self._colours))
        image.save(content, "PNG", compress_level=3)  # 6 gives files a tenth smaller in twice the time
        return content.getvalue()


def _round_step(count: int) -> int:
    """1, 2 or 5 times a power of ten, such that there are 10 ticks at most."""
    power: int = 10 ** int(math.log10(max(1, count / 10)))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if count <= 10 * step)


@lru_cache(maxsize=4)
def _palette(name: str) -> bytes:
    """Red, green and blue of each colour of a `_Sheet`."""
    colours = matplotlib.colormaps[name](np.linspace(0, 1, _SHADES), bytes=True)[:, :3]
    return bytes(colours.tobytes()) + bytes(17 * grey for grey in range(16) for _ in range(3))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)

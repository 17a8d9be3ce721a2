"""Pictures of attention and mels: positions and colours."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from trainer.pictures import draw_alignment, draw_mels


def _pixels(png: bytes) -> npt.NDArray[np.int64]:
    """(rows, columns, 3), row 0 at the top."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


def test_attention_runs_from_the_lower_left_to_the_upper_right() -> None:
    pixels = _pixels(draw_alignment(np.eye(11, dtype=np.float32), "eleven word", "title")).sum(2)
    plot = pixels[28:-34, 30:-52]
    rows, columns = plot.shape
    for at in (0.05, 0.5, 0.95):
        assert plot[int((1 - at) * rows), int(at * columns)] > 600  # bright
        assert plot[int(at * rows), int(at * columns)] < 100 or at == 0.5


def test_uniform_attention_is_dark() -> None:
    attention = np.full((40, 20), 1 / 20, dtype=np.float32)
    assert _pixels(draw_alignment(attention, "x" * 20, ""))[28:-34, 30:-52].sum(2).max() < 150


@pytest.mark.parametrize("steps", [1, 7, 2000])
def test_a_long_text_gets_space_for_each_letter(steps: int) -> None:
    short, long = (
        _pixels(draw_alignment(np.zeros((steps, count), dtype=np.float32), "ж" * count, "ё" * 300))
        for count in (6, 180)
    )
    assert short.shape == (400, 640, 3)
    assert long.shape[0] >= 180 * 7
    letters = (long[:, 15:25].sum(2).min(1) < 500)[28:-34]
    assert np.count_nonzero(letters[1:] & ~letters[:-1]) > 170


def test_mels_share_one_scale_of_time_and_colour() -> None:
    loud, quiet = np.full((100, 8), 2.0, dtype=np.float16), np.full((50, 8), -9.0, dtype=np.float32)
    pixels = _pixels(draw_mels({"recorded": loud, "predicted": quiet}, "title"))
    above, below, beyond = pixels[100, 100], pixels[300, 100], pixels[300, 500]
    assert tuple(above) == (253, 231, 36)  # the ends of viridis
    assert tuple(below) == (68, 1, 84)
    assert tuple(beyond) == (255, 255, 255)


def test_nan_is_drawn() -> None:
    mel = np.full((30, 8), np.nan, dtype=np.float32)
    assert _pixels(draw_mels({"predicted": mel}, "")).shape[1] == 640
    assert _pixels(draw_alignment(np.full((3, 6), np.nan, dtype=np.float32), "abcdef", "")).shape[1] == 640

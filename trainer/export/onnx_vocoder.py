"""HiFi-GAN's generator as a part of the ONNX graph: from `mel_out` (L, M) to `samples`.

Source of the layers: `trainer.vocoder.generator`.

Shapes: L mel frames, M mel bins, C channels, T steps of a stage.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.vocoder.generator import SLOPE, Generator, GeneratorConfig

_LAST_SLOPE = 0.01  # torch's default of the leaky ReLU


def vocoder_text(config: GeneratorConfig) -> str:
    """The nodes; `vocoder_weights` has the weights that they name."""
    return "\n    ".join(_lines(config))


def _lines(config: GeneratorConfig) -> Iterator[str]:
    yield "v_columns = Transpose <perm = [1, 0]> (mel_out)"
    yield "v_image = Unsqueeze (v_columns, axis_0)"  # (1, M, L)
    yield _conv("v_stage_0", "v_image", "conv_pre", kernel=7)
    blocks = len(config.resblock_kernel_sizes)
    for stage, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
        pad = (kernel - rate) // 2
        yield _leaky(f"v_up_in_{stage}", f"v_stage_{stage}")
        yield (  # (1, C, T) -> (1, C / 2, T * rate)
            f"v_up_{stage} = ConvTranspose <strides = [{rate}], pads = [{pad}, {pad}]>"
            f" (v_up_in_{stage}, v_ups_{stage}_weight, v_ups_{stage}_bias)"
        )
        for block in range(blocks):
            yield from _block(config, stage * blocks + block, block, f"v_up_{stage}")
        ends = ", ".join(f"v_block_{stage * blocks + block}" for block in range(blocks))
        yield f"v_stage_{stage + 1} = Mean ({ends})"
    yield _leaky("v_post_in", f"v_stage_{len(config.upsample_rates)}", _LAST_SLOPE)
    yield _conv("v_post", "v_post_in", "conv_post", kernel=7)
    yield "v_wave = Tanh (v_post)"
    yield "v_flat = Reshape (v_wave, flat)"
    yield "samples = Slice (v_flat, v_first, v_end)"


def _block(config: GeneratorConfig, number: int, kind: int, x: str) -> Iterator[str]:
    """The residual block `number`, from `x` to `v_block_NUMBER`."""
    kernel, dilations = config.resblock_kernel_sizes[kind], config.resblock_dilation_sizes[kind]
    for i, dilation in enumerate(dilations):
        at = f"{number}_{i}"
        yield _leaky(f"v_in_{at}", x)
        if config.resblock == "1":
            yield _conv(f"v_dilated_{at}", f"v_in_{at}", f"resblocks_{number}_convs1_{i}", kernel, dilation)
            yield _leaky(f"v_between_{at}", f"v_dilated_{at}")
            yield _conv(f"v_out_{at}", f"v_between_{at}", f"resblocks_{number}_convs2_{i}", kernel)
        else:
            yield _conv(f"v_out_{at}", f"v_in_{at}", f"resblocks_{number}_convs_{i}", kernel, dilation)
        end = f"v_block_{number}" if i == len(dilations) - 1 else f"v_sum_{at}"
        yield f"{end} = Add ({x}, v_out_{at})"
        x = end


def _leaky(out: str, x: str, slope: float = SLOPE) -> str:
    return f"{out} = LeakyRelu <alpha = {slope}> ({x})"


def _conv(out: str, x: str, name: str, kernel: int, dilation: int = 1) -> str:
    """A convolution that keeps the length."""
    pad = dilation * (kernel - 1) // 2
    return f"{out} = Conv <dilations = [{dilation}], pads = [{pad}, {pad}]> ({x}, v_{name}_weight, v_{name}_bias)"


def vocoder_weights(generator: Generator, hop: int) -> dict[str, npt.NDArray[Any]]:
    """Name in the graph -> values. hop: in samples; the sound is cut as `trainer.vocoder.vocoders.HifiGan` cuts it."""
    weights = {f"v_{name.replace('.', '_')}": value.numpy() for name, value in generator.state_dict().items()}
    return weights | {"v_first": np.array([hop // 2]), "v_end": np.array([hop // 2 - hop])}

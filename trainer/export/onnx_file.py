"""A voice as one ONNX file, with all that a program needs to speak with it in the metadata. Needs the extra `onnx`.

`docs/export.md` has the contract of inputs and outputs, and a script that speaks with onnxruntime and numpy.
"""

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trainer.errors import VoiceError
from trainer.export.onnx_graph import graph_text, weights_of
from trainer.export.onnx_vocoder import vocoder_text, vocoder_weights
from trainer.installing import extra_command
from trainer.safetensors_files import FORMAT
from trainer.synthesis import SLOWEST, SLOWEST_MARGIN
from trainer.vocoder.vocoders import generator_for
from trainer.vocoder.weights import load
from trainer.voice_format import Voice, about, to_share

if TYPE_CHECKING:
    import onnx

VERSION = 1  # of inputs, outputs and metadata


def onnx_bytes(voice: Voice, vocoder: str | None = None) -> bytes:
    """vocoder: HiFi-GAN or the file of a generator, which the graph then has, too; None: the graph ends with the mel.

    Raises VoiceError where the package onnx is not installed, or the vocoder cannot be used.
    """
    if find_spec("onnx") is None:
        raise VoiceError(f"ONNX needs the package onnx; install it: {extra_command('onnx')}")
    content: bytes = _model(to_share(voice), vocoder).SerializeToString()
    return content


def _model(voice: Voice, vocoder: str | None) -> "onnx.ModelProto":
    import onnx
    from onnx import checker, helper, numpy_helper, parser

    nodes, weights = "", weights_of(voice)
    if vocoder is not None:
        file = generator_for(vocoder, voice.config.audio)
        nodes = vocoder_text(file.config)
        weights |= vocoder_weights(load(file), voice.config.audio.hop_length)
    model = parser.parse_model(graph_text(voice, nodes))
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    helper.set_model_props(model, _metadata(voice))
    checker.check_model(model, full_check=True)
    assert isinstance(model, onnx.ModelProto)
    return model


def _metadata(voice: Voice) -> dict[str, str]:
    """As in a safetensors file: each value besides the first two is JSON."""
    limit = {"seconds": SLOWEST_MARGIN, "seconds_per_symbol": SLOWEST}
    header = {"format": FORMAT, "format_version": str(VERSION)}
    return header | {
        key: json.dumps(value, ensure_ascii=False) for key, value in {**about(voice), "limit": limit}.items()
    }

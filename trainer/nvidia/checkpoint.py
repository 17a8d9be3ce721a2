"""Converts checkpoints in the layout of NVIDIA/tacotron2 into voices, and voices into such checkpoints.

The tensors are the same under other names; only the embedding's rows belong to other symbols
(`trainer.nvidia.symbols`). The sizes of the model are read from the shapes. Source: the state dict of `Tacotron2` in
that repository's `model.py`. Does not cover the optimiser's state, forks that add layers, and the command line
(`trainer.nvidia.import_export`).

Shapes: S symbols, C embedding width, E encoder width, M mel bins, R reduction factor, K kernel.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.checkpoint_files import is_whole
from trainer.config import AudioConfig, ModelConfig, TrainerConfig, check_ranges
from trainer.dotted import flatten
from trainer.embeddings import EMBEDDING, Mapped
from trainer.errors import VoiceError
from trainer.nvidia.symbols import TABLE, spells_a_language, to_ours, to_theirs
from trainer.optimizer import Adam
from trainer.text import PAD_ID, SYMBOLS
from trainer.voice_format import Shapes, Voice, differences, shapes, shapes_of

_LOCATION = "decoder.attention_layer.location_layer.location_conv.conv.weight"
_PROJECTION = "decoder.linear_projection.linear_layer.weight"
_COUNTER = "num_batches_tracked"  # of a batch norm; torch before 0.4.1 had none, and its value does not matter here

# Our module names and NVIDIA's; on both sides a dot and the tensor's name follow.
_MODULES: Sequence[tuple[str, str]] = (
    (r"encoder\.embedding", "embedding"),
    (r"(encoder|postnet)\.convolutions\.(\d+)\.conv", r"\1.convolutions.\2.0.conv"),
    (r"(encoder|postnet)\.convolutions\.(\d+)\.norm", r"\1.convolutions.\2.1"),
    (r"encoder\.lstm", "encoder.lstm"),
    (r"decoder\.prenet\.layers\.(\d+)", r"decoder.prenet.layers.\1.linear_layer"),
    (r"decoder\.attention\.lstm", "decoder.attention_rnn"),
    (r"decoder\.attention\.(query|memory)", r"decoder.attention_layer.\1_layer.linear_layer"),
    (r"decoder\.attention\.energy", "decoder.attention_layer.v.linear_layer"),
    (r"decoder\.attention\.location_conv", "decoder.attention_layer.location_layer.location_conv.conv"),
    (r"decoder\.attention\.location_dense", "decoder.attention_layer.location_layer.location_dense.linear_layer"),
    (r"decoder\.lstm", "decoder.decoder_rnn"),
    (r"decoder\.mel", "decoder.linear_projection.linear_layer"),
    (r"decoder\.gate", "decoder.gate_layer.linear_layer"),
)

# NVIDIA's names of hyperparameters, which have the same defaults as ours, and our dotted names.
HPARAMS: Mapping[str, str] = {
    "sampling_rate": "audio.sample_rate",
    "filter_length": "audio.n_fft",
    "hop_length": "audio.hop_length",
    "win_length": "audio.win_length",
    "n_mel_channels": "audio.n_mels",
    "mel_fmin": "audio.fmin",
    "mel_fmax": "audio.fmax",
    "symbols_embedding_dim": "model.embedding_dim",
    "encoder_kernel_size": "model.encoder_kernel",
    "encoder_n_convolutions": "model.encoder_convolutions",
    "encoder_embedding_dim": "model.encoder_dim",
    "n_frames_per_step": "model.reduction",
    "decoder_rnn_dim": "model.decoder_rnn_dim",
    "prenet_dim": "model.prenet_dim",
    "p_attention_dropout": "model.attention_dropout",
    "p_decoder_dropout": "model.decoder_dropout",
    "attention_rnn_dim": "model.attention_rnn_dim",
    "attention_dim": "model.attention_dim",
    "attention_location_n_filters": "model.location_filters",
    "attention_location_kernel_size": "model.location_kernel",
    "postnet_embedding_dim": "model.postnet_dim",
    "postnet_kernel_size": "model.postnet_kernel",
    "postnet_n_convolutions": "model.postnet_convolutions",
}


@dataclass(frozen=True, eq=False)
class Imported:
    voice: Voice
    symbols: Mapped
    iteration: int | None  # updates that it was trained for, where the checkpoint has the number


def nvidia_name(ours: str) -> str:
    """The name in NVIDIA's state dict of the tensor `ours` in our state dict."""
    module, _, tensor = ours.rpartition(".")
    for pattern, replacement in _MODULES:
        if match := re.fullmatch(pattern, module):
            return f"{match.expand(replacement)}.{tensor}"
    raise AssertionError(f"{ours} has no name in NVIDIA's layout")


def voice_in_its_own_table(content: Mapping[str, Any], table: Sequence[str] | None, where: Path) -> Voice:
    """As `import_voice`, with one row of the embedding for each symbol of `table`."""
    state = _state_dict(content, where)
    model, n_mels = _sizes(shapes(state), where)
    config = TrainerConfig(model=model, audio=AudioConfig(n_mels=n_mels))
    check_ranges(config, str(where))
    weights = _renamed(state, shapes_of(model, len(state["embedding.weight"]), n_mels), where)
    symbols = tuple(_fitting(table, len(weights[EMBEDDING]), where))
    return Voice(weights, config, symbols, trained=symbols[PAD_ID + 1 :])


def import_voice(content: Mapping[str, Any], table: Sequence[str] | None, where: Path) -> Imported:
    """content: of a checkpoint; table: its symbols, None for NVIDIA's own.

    Raises VoiceError for a tensor that is missing, unknown, of another shape or not finite, and for a table that does
    not fit; ConfigError for a model that cannot be built here.
    """
    given = voice_in_its_own_table(content, table, where)
    mapped = to_ours(given.weights[EMBEDDING], given.symbols)
    iteration = content.get("iteration")
    voice = Voice({**given.weights, EMBEDDING: mapped.rows}, given.config, SYMBOLS, trained=mapped.taken)
    return Imported(voice, mapped, iteration if isinstance(iteration, int) else None)


def export_voice(voice: Voice, where: Path) -> tuple[dict[str, Any], Mapped]:
    """The content of a checkpoint as NVIDIA's `train.py` writes it, with a new optimiser.

    where: the file to name in the VoiceError for a model that NVIDIA's code cannot represent.
    """
    model, optimizer = voice.config.model, voice.config.optimizer
    if voice.config.text.kind != "characters":
        raise VoiceError(
            f"{where}: cannot be exported: the voice reads phonemes of the International Phonetic Alphabet, for which "
            "NVIDIA/tacotron2's table of letters and ARPAbet has no symbols."
        )
    if model.embedding_dim != model.encoder_dim:
        raise VoiceError(
            f"{where}: cannot be exported: NVIDIA/tacotron2 has one width for the embedding and the encoder, but "
            f"`model.embedding_dim` is {model.embedding_dim} and `model.encoder_dim` {model.encoder_dim}."
        )
    mapped = to_theirs(voice.weights[EMBEDDING], voice.symbols)
    state = {nvidia_name(key): tensor for key, tensor in {**voice.weights, EMBEDDING: mapped.rows}.items()}
    buffers = ("running_mean", "running_var", _COUNTER)
    parameters = [torch.zeros(1) for key in state if not key.endswith(buffers)]
    adam = Adam(
        parameters,
        lr=optimizer.lr,
        betas=(optimizer.beta1, optimizer.beta2),
        eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
    )
    content = {
        "iteration": 0,
        "state_dict": state,
        "optimizer": adam.state_dict(),
        "learning_rate": optimizer.lr,
    }
    return content, mapped


def hparams(config: TrainerConfig) -> dict[str, Any]:
    """NVIDIA's hyperparameters whose values are not the defaults."""
    ours, defaults = flatten(asdict(config)), flatten(asdict(TrainerConfig()))
    return {name: ours[key] for name, key in HPARAMS.items() if ours[key] != defaults[key]}


def _state_dict(content: Mapping[str, Any], where: Path) -> dict[str, Tensor]:
    """The weights, without the prefix from training on several devices, and with the counters of all batch norms."""
    state = content.get("state_dict")
    if not isinstance(state, Mapping) or not state:
        held = ", ".join(f"`{key}`" for key in content) or "nothing"
        hint = " It is a voice already and need not be imported." if "model" in content else ""
        raise VoiceError(f"{where}: must hold a `state_dict`, as NVIDIA/tacotron2 saves it, but holds {held}.{hint}")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    for key, value in state.items():
        if not is_whole(value):
            kind = "a sparse one, or a view of fewer numbers" if isinstance(value, Tensor) else type(value).__name__
            raise VoiceError(f"{where}: `{key}` must be a tensor, but got {kind}.")
    counters = {f"{key.removesuffix('running_mean')}{_COUNTER}" for key in state if key.endswith(".running_mean")}
    return {**{key: torch.zeros((), dtype=torch.int64) for key in counters}, **state}


def _sizes(got: Shapes, where: Path) -> tuple[ModelConfig, int]:
    """Model and M, from NVIDIA's names and shapes."""

    def size(key: str, axis: int, axes: int = 2) -> int:
        if key not in got:
            raise VoiceError(
                f"{where}: `{key}` is missing: this is not a complete Tacotron 2 in NVIDIA/tacotron2's layout; save "
                "the model's whole `state_dict()`."
            )
        if len(got[key]) != axes:
            raise VoiceError(f"{where}: `{key}` must have {axes} axes, but got the shape {got[key]}.")
        return got[key][axis]

    defaults = ModelConfig()
    encoder = _convolutions(got, "encoder")
    postnet = _convolutions(got, "postnet")
    last = f"postnet.convolutions.{max(postnet - 1, 0)}.0.conv.weight"
    n_mels, rows = size(last, 0, 3), size(_PROJECTION, 0)
    if n_mels == 0 or rows % n_mels:
        raise VoiceError(
            f"{where}: `{_PROJECTION}` must have a multiple of the {n_mels} rows of `{last}`, but got {rows}; "
            "one of the two belongs to another model."
        )
    model = ModelConfig(
        embedding_dim=size("embedding.weight", 1),
        encoder_dim=2 * size("encoder.lstm.weight_hh_l0", 1),
        encoder_convolutions=encoder,
        encoder_kernel=size("encoder.convolutions.0.0.conv.weight", 2, 3) if encoder else defaults.encoder_kernel,
        prenet_dim=size("decoder.prenet.layers.0.linear_layer.weight", 0),
        attention_rnn_dim=size("decoder.attention_rnn.weight_hh", 1),
        attention_dim=size("decoder.attention_layer.query_layer.linear_layer.weight", 0),
        location_filters=size(_LOCATION, 0, 3),
        location_kernel=size(_LOCATION, 2, 3),
        decoder_rnn_dim=size("decoder.decoder_rnn.weight_hh", 1),
        reduction=rows // n_mels,
        postnet_dim=size("postnet.convolutions.0.0.conv.weight", 0, 3),
        postnet_convolutions=postnet,
        postnet_kernel=size(last, 2, 3),
    )
    return model, n_mels


def _convolutions(got: Shapes, part: str) -> int:
    """The number of convolutions: the highest index plus one, so that a gap is reported as a missing tensor."""
    numbers = (re.match(rf"{part}\.convolutions\.(\d{{1,4}})\.", key) for key in got)
    return max((int(number[1]) + 1 for number in numbers if number), default=0)


def _renamed(state: Mapping[str, Tensor], expected: Shapes, where: Path) -> dict[str, Tensor]:
    """`state` under our names, in float32. expected: our names and shapes."""
    names = {nvidia_name(key): key for key in expected}
    problems = [*differences(shapes(state), {name: expected[key] for name, key in names.items()})]
    if problems:
        more = f" ({len(problems)} such problems)" if len(problems) > 1 else ""
        raise VoiceError(
            f"{where}: {problems[0]}{more}, by the sizes of its other tensors. Only the original layers of "
            "NVIDIA/tacotron2 can be imported: use the checkpoint of a model without added, removed or changed layers."
        )
    return {key: _single_precision(name, state[name], where) for name, key in names.items()}


def _single_precision(name: str, tensor: Tensor, where: Path) -> Tensor:
    if name.endswith(_COUNTER):
        return tensor.to(torch.int64)
    if not tensor.is_floating_point():
        raise VoiceError(f"{where}: `{name}` must be float32 or float16, but got {tensor.dtype}.")
    if not bool(torch.isfinite(tensor).all()):
        raise VoiceError(f"{where}: `{name}` has numbers that are not finite; use an earlier checkpoint.")
    return tensor.to(torch.float32).contiguous()


def _fitting(table: Sequence[str] | None, rows: int, where: Path) -> Sequence[str]:
    if table is None:
        if rows != len(TABLE):
            raise VoiceError(
                f"{where}: `embedding.weight` has {rows} rows, but NVIDIA's own table {len(TABLE)} symbols: which "
                "row is which symbol is not known; give `python -m trainer import` the option "
                "--symbols FILE, one symbol per line in the order of the rows, padding first."
            )
        return TABLE
    if rows != len(table):
        raise VoiceError(
            f"{where}: `embedding.weight` has {rows} rows, but --symbols lists {len(table)} symbols; give one line "
            "per row, padding first."
        )
    if not spells_a_language(table):
        raise VoiceError(
            f"{where}: the symbols lack letters both of a-z and of the Russian alphabet (in lower case): no text "
            "could be read; give the symbols that the voice was trained with."
        )
    return table

"""A voice's model as one ONNX graph: symbols and dropout masks in, mel and attention out.

Written in ONNX's text form, so that one file has the whole loop over decoder steps and stops by the gate; torch's
exporter would give three files and a loop to write again in each program that speaks. Inference alone, one sentence
at a time, in float32, without the training's dropouts. Source of the layers: `trainer.model`; batch norms are folded
into their convolutions. The prenet's dropout, which stays on, is an input.

Shapes: N symbols, T decoder steps, T' those spoken, R frames per step, L = T'*R frames, M mel bins, P prenet width,
E memory width, H and H' widths of the attention LSTM and the decoder LSTM, A attention width, F bins of a spectrum.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.audio import inverse_filters
from trainer.embeddings import EMBEDDING
from trainer.voice_format import Voice

OPSET = 17
GATE_THRESHOLD = 0.5  # of `Tacotron2.infer`
Array = npt.NDArray[Any]

_GRAPH = """
<ir_version: 8, opset_import: ["" : {opset}]>
tacotron2 (int64[N] tokens, float[T, 2, {prenet}] keep)
    => (float[L, {mels}] mel, float[S, N] attention, float[S] gate, float[L, {bins}] magnitude{outputs})
{{
    {encoder}
    projected = MatMul (memory, memory_weight)
    token_count = Shape (tokens)
    one_by_tokens = Concat <axis = 0> (one, token_count)
    no_weights = ConstantOfShape (one_by_tokens)
    step_limit_1 = Shape <start = 0, end = 1> (keep)
    step_limit = Squeeze (step_limit_1)
    last_frame, last_hidden, last_cell, last_context, last_weights, last_cumulative, last_hidden2, last_cell2,
        frames, gates, rows =
        Loop (step_limit, true, no_frame, no_hidden, no_hidden, no_context, no_weights, no_weights, no_hidden2,
            no_hidden2) <body = {step}>
    mel_before = Reshape (frames, frame_rows)
    attention = Reshape (rows, weight_rows)
    gate = Reshape (gates, flat)
    {postnet}
    mel_out = Add (mel_before, correction)
    mel = Identity (mel_out)
    exponential = Exp (mel_out)
    inverted = MatMul (exponential, inverse_filters)
    magnitude = Relu (inverted)
    {vocoder}
}}
"""

_STEP = """step (int64 t, bool going, float[1, RM] frame, float[1, H] hidden, float[1, H] cell,
        float[1, E] context, float[1, N] weights, float[1, N] cumulative, float[1, H2] hidden2, float[1, H2] cell2)
    => (bool goes_on, float[1, RM] new_frame, float[1, H] new_hidden, float[1, H] new_cell, float[1, E] new_context,
        float[1, N] new_weights, float[1, N] new_cumulative, float[1, H2] new_hidden2, float[1, H2] new_cell2,
        float[1, RM] frame_out, float[1] gate_out, float[1, N] weights_out)
{
    masks = Gather <axis = 0> (keep, t)
    mask_1, mask_2 = Split <axis = 0> (masks)
    x1 = MatMul (frame, prenet_weight_1)
    x2 = Relu (x1)
    x3 = Mul (x2, mask_1)
    x4 = MatMul (x3, prenet_weight_2)
    x5 = Relu (x4)
    prenet = Mul (x5, mask_2)

    in1 = Concat <axis = 1> (prenet, context, hidden)
    a = Gemm (in1, attention_lstm_weight, attention_lstm_bias)
    ai, af, ag, ao = Split <axis = 1> (a)
    i1 = Sigmoid (ai)
    f1 = Sigmoid (af)
    g1 = Tanh (ag)
    o1 = Sigmoid (ao)
    kept1 = Mul (f1, cell)
    added1 = Mul (i1, g1)
    new_cell = Add (kept1, added1)
    squashed1 = Tanh (new_cell)
    new_hidden = Mul (o1, squashed1)

    both_rows = Concat <axis = 0> (weights, cumulative)
    both = Unsqueeze (both_rows, axis_0)
    located = Conv <pads = [PAD, PAD]> (both, location_weight)
    located_2 = Squeeze (located, axis_0)
    location = Transpose <perm = [1, 0]> (located_2)
    query = MatMul (new_hidden, query_weight)
    z1 = Add (projected, location)
    z2 = Add (z1, query)
    z3 = Tanh (z2)
    energy = MatMul (z3, energy_weight)
    softened = Softmax <axis = 0> (energy)
    new_weights = Transpose <perm = [1, 0]> (softened)
    new_cumulative = Add (cumulative, new_weights)
    new_context = MatMul (new_weights, memory)

    in2 = Concat <axis = 1> (new_hidden, new_context, hidden2)
    d = Gemm (in2, decoder_lstm_weight, decoder_lstm_bias)
    di, df, dg, do = Split <axis = 1> (d)
    i2 = Sigmoid (di)
    f2 = Sigmoid (df)
    g2 = Tanh (dg)
    o2 = Sigmoid (do)
    kept2 = Mul (f2, cell2)
    added2 = Mul (i2, g2)
    new_cell2 = Add (kept2, added2)
    squashed2 = Tanh (new_cell2)
    new_hidden2 = Mul (o2, squashed2)

    seen = Concat <axis = 1> (new_hidden2, new_context)
    new_frame = Gemm (seen, mel_weight, mel_bias)
    gate_logit = Gemm (seen, gate_weight, gate_bias)
    gate_row = Sigmoid (gate_logit)
    gate_out = Squeeze (gate_row, axis_0)
    gate_scalar = Squeeze (gate_row)
    ends = Greater (gate_scalar, gate_threshold)
    goes_on = Not (ends)
    frame_out = Identity (new_frame)
    weights_out = Identity (new_weights)
}"""


def graph_text(voice: Voice, vocoder: str = "") -> str:
    """The graph without its weights, which `weights_of` has. vocoder: nodes from `mel_out` to `samples`, if any."""
    model, audio = voice.config.model, voice.config.audio
    step = _STEP.replace("PAD", str(model.location_kernel // 2))
    return _GRAPH.format(
        opset=OPSET,
        prenet=model.prenet_dim,
        mels=audio.n_mels,
        bins=1 + audio.n_fft // 2,
        encoder=_encoder(model.encoder_convolutions, model.encoder_kernel // 2, model.encoder_dim // 2),
        postnet=_postnet(model.postnet_convolutions, model.postnet_kernel // 2),
        step=step,
        outputs=", float[W] samples" if vocoder else "",
        vocoder=vocoder,
    )


def _encoder(convolutions: int, pad: int, hidden: int) -> str:
    """tokens (N,) -> memory (N, E)."""
    lines = [
        "embedded = Gather <axis = 0> (embedding, tokens)",
        "columns = Transpose <perm = [1, 0]> (embedded)",
        "encoder_0 = Unsqueeze (columns, axis_0)",  # (1, C, N)
    ]
    for i in range(convolutions):
        lines.append(f"encoder_{i}c = Conv <pads = [{pad}, {pad}]> (encoder_{i}, encoder_w{i}, encoder_b{i})")
        lines.append(f"encoder_{i + 1} = Relu (encoder_{i}c)")
    lines += [
        f"sequence = Transpose <perm = [2, 0, 1]> (encoder_{convolutions})",  # (N, 1, C)
        f'directions = LSTM <hidden_size = {hidden}, direction = "bidirectional">'
        " (sequence, encoder_lstm_w, encoder_lstm_r, encoder_lstm_b)",  # (N, 2, 1, E / 2)
        "memory = Reshape (directions, memory_rows)",
    ]
    return "\n    ".join(lines)


def _postnet(convolutions: int, pad: int) -> str:
    """mel_before (L, M) -> correction (L, M)."""
    lines = [
        "mel_columns = Transpose <perm = [1, 0]> (mel_before)",
        "postnet_0 = Unsqueeze (mel_columns, axis_0)",  # (1, M, L)
    ]
    for i in range(convolutions):
        is_last = i == convolutions - 1
        out = f"postnet_{i}c"
        lines.append(f"{out} = Conv <pads = [{pad}, {pad}]> (postnet_{i}, postnet_w{i}, postnet_b{i})")
        lines.append(f"postnet_{i + 1} = {'Identity' if is_last else 'Tanh'} ({out})")
    lines.append(f"correction_columns = Squeeze (postnet_{convolutions}, axis_0)")
    lines.append("correction = Transpose <perm = [1, 0]> (correction_columns)")
    return "\n    ".join(lines)


def weights_of(voice: Voice) -> dict[str, Array]:
    """Name in the graph -> values."""
    return {**_constants(voice), **_encoder_weights(voice), **_decoder_weights(voice), **_postnet_weights(voice)}


def _constants(voice: Voice) -> dict[str, Array]:
    model, n_mels = voice.config.model, voice.config.audio.n_mels

    def zeros(width: int) -> Array:
        return np.zeros((1, width), np.float32)

    return {
        "true": np.array(True),
        "one": np.array([1], np.int64),
        "axis_0": np.array([0], np.int64),
        "flat": np.array([-1], np.int64),
        "memory_rows": np.array([-1, model.encoder_dim], np.int64),
        "frame_rows": np.array([-1, n_mels], np.int64),
        "weight_rows": np.array([0, -1], np.int64),
        "no_frame": zeros(n_mels * model.reduction),
        "no_context": zeros(model.encoder_dim),
        "no_hidden": zeros(model.attention_rnn_dim),
        "no_hidden2": zeros(model.decoder_rnn_dim),
        "gate_threshold": np.array(GATE_THRESHOLD, np.float32),
        "inverse_filters": np.ascontiguousarray(inverse_filters(voice.config.audio).T),
    }


def _encoder_weights(voice: Voice) -> dict[str, Array]:
    weights = voice.weights

    def both(name: str) -> Array:
        """(2, 4H, .) of the two directions."""
        sides = (weights[f"encoder.lstm.{name}_l0{side}"] for side in ("", "_reverse"))
        return np.stack([_array(_onnx_gates(side)) for side in sides])

    return {
        "embedding": _array(weights[EMBEDDING]),
        **_folded(weights, "encoder", voice.config.model.encoder_convolutions),
        "encoder_lstm_w": both("weight_ih"),
        "encoder_lstm_r": both("weight_hh"),
        "encoder_lstm_b": np.concatenate([both("bias_ih"), both("bias_hh")], 1),
    }


def _decoder_weights(voice: Voice) -> dict[str, Array]:
    def of(name: str) -> Tensor:
        return voice.weights[f"decoder.{name}"]

    location = torch.einsum("af,fck->ack", of("attention.location_dense.weight"), of("attention.location_conv.weight"))
    named = {
        "prenet_weight_1": of("prenet.layers.0.weight").t(),
        "prenet_weight_2": of("prenet.layers.1.weight").t(),
        "memory_weight": of("attention.memory.weight").t(),
        "query_weight": of("attention.query.weight").t(),
        "energy_weight": of("attention.energy.weight").t(),
        "location_weight": location,
        "mel_weight": of("mel.weight").t(),
        "mel_bias": of("mel.bias"),
        "gate_weight": of("gate.weight").t(),
        "gate_bias": of("gate.bias"),
    }
    for ours, theirs in (("attention.lstm", "attention_lstm"), ("lstm", "decoder_lstm")):
        named[f"{theirs}_weight"] = torch.cat([of(f"{ours}.weight_ih"), of(f"{ours}.weight_hh")], 1).t()
        named[f"{theirs}_bias"] = of(f"{ours}.bias_ih") + of(f"{ours}.bias_hh")
    return {name: _array(tensor) for name, tensor in named.items()}


def _postnet_weights(voice: Voice) -> dict[str, Array]:
    return _folded(voice.weights, "postnet", voice.config.model.postnet_convolutions)


def _folded(weights: Mapping[str, Tensor], part: str, convolutions: int) -> dict[str, Array]:
    """Convolutions with their batch norms, in double precision: w * s, and (b - mean) * s + beta."""
    folded = {}
    for i in range(convolutions):

        def of(name: str, at: str = f"{part}.convolutions.{i}") -> Tensor:
            return weights[f"{at}.{name}"].double()

        scale = of("norm.weight") / torch.sqrt(of("norm.running_var") + torch.nn.BatchNorm2d(1).eps)
        folded[f"{part}_w{i}"] = _array(of("conv.weight") * scale[:, None, None])
        folded[f"{part}_b{i}"] = _array((of("conv.bias") - of("norm.running_mean")) * scale + of("norm.bias"))
    return folded


def _onnx_gates(rows: Tensor) -> Tensor:
    """torch's order of an LSTM's gates i, f, g, o -> ONNX's i, o, f, g."""
    i, f, g, o = rows.chunk(4)
    return torch.cat([i, o, f, g])


def _array(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())

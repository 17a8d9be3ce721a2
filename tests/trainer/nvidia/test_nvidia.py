"""Checkpoints in NVIDIA/tacotron2's layout are converted to voices and back, exactly."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import __main__ as entry
from trainer import checkpoint_files, voice_format
from trainer.config import AudioConfig, ModelConfig, TextConfig, TrainerConfig
from trainer.errors import UserError
from trainer.model import Tacotron2
from trainer.nvidia.checkpoint import export_voice, import_voice, nvidia_name
from trainer.nvidia.symbols import ARPABET, TABLE, read_table
from trainer.protocol import ExitCode
from trainer.text import SYMBOLS
from trainer.voice_format import Voice

HERE = Path("a'; echo foo.pt")
CHECKOUT = os.environ.get("TACOTRON2_CHECKOUT", "")

# The state dict of NVIDIA's code with encoder width 6 with one convolution of kernel 3, prenet 4, attention LSTM 5,
# attention 3, 2 location filters of kernel 7, decoder LSTM 4, 8 mel bins, postnet width 5 with two convolutions of
# kernel 5.
LAYOUT: dict[str, tuple[int, ...]] = {
    "embedding.weight": (148, 6),
    "encoder.convolutions.0.0.conv.weight": (6, 6, 3),
    "encoder.convolutions.0.0.conv.bias": (6,),
    "encoder.convolutions.0.1.weight": (6,),
    "encoder.convolutions.0.1.bias": (6,),
    "encoder.convolutions.0.1.running_mean": (6,),
    "encoder.convolutions.0.1.running_var": (6,),
    "encoder.convolutions.0.1.num_batches_tracked": (),
    "encoder.lstm.weight_ih_l0": (12, 6),
    "encoder.lstm.weight_hh_l0": (12, 3),
    "encoder.lstm.bias_ih_l0": (12,),
    "encoder.lstm.bias_hh_l0": (12,),
    "encoder.lstm.weight_ih_l0_reverse": (12, 6),
    "encoder.lstm.weight_hh_l0_reverse": (12, 3),
    "encoder.lstm.bias_ih_l0_reverse": (12,),
    "encoder.lstm.bias_hh_l0_reverse": (12,),
    "decoder.prenet.layers.0.linear_layer.weight": (4, 8),
    "decoder.prenet.layers.1.linear_layer.weight": (4, 4),
    "decoder.attention_rnn.weight_ih": (20, 10),
    "decoder.attention_rnn.weight_hh": (20, 5),
    "decoder.attention_rnn.bias_ih": (20,),
    "decoder.attention_rnn.bias_hh": (20,),
    "decoder.attention_layer.query_layer.linear_layer.weight": (3, 5),
    "decoder.attention_layer.memory_layer.linear_layer.weight": (3, 6),
    "decoder.attention_layer.v.linear_layer.weight": (1, 3),
    "decoder.attention_layer.location_layer.location_conv.conv.weight": (2, 2, 7),
    "decoder.attention_layer.location_layer.location_dense.linear_layer.weight": (3, 2),
    "decoder.decoder_rnn.weight_ih": (16, 11),
    "decoder.decoder_rnn.weight_hh": (16, 4),
    "decoder.decoder_rnn.bias_ih": (16,),
    "decoder.decoder_rnn.bias_hh": (16,),
    "decoder.linear_projection.linear_layer.weight": (8, 10),
    "decoder.linear_projection.linear_layer.bias": (8,),
    "decoder.gate_layer.linear_layer.weight": (1, 10),
    "decoder.gate_layer.linear_layer.bias": (1,),
    "postnet.convolutions.0.0.conv.weight": (5, 8, 5),
    "postnet.convolutions.0.0.conv.bias": (5,),
    "postnet.convolutions.0.1.weight": (5,),
    "postnet.convolutions.0.1.bias": (5,),
    "postnet.convolutions.0.1.running_mean": (5,),
    "postnet.convolutions.0.1.running_var": (5,),
    "postnet.convolutions.0.1.num_batches_tracked": (),
    "postnet.convolutions.1.0.conv.weight": (8, 5, 5),
    "postnet.convolutions.1.0.conv.bias": (8,),
    "postnet.convolutions.1.1.weight": (8,),
    "postnet.convolutions.1.1.bias": (8,),
    "postnet.convolutions.1.1.running_mean": (8,),
    "postnet.convolutions.1.1.running_var": (8,),
    "postnet.convolutions.1.1.num_batches_tracked": (),
}
SIZES = ModelConfig(
    embedding_dim=6,
    encoder_dim=6,
    encoder_convolutions=1,
    encoder_kernel=3,
    prenet_dim=4,
    attention_rnn_dim=5,
    attention_dim=3,
    location_filters=2,
    location_kernel=7,
    decoder_rnn_dim=4,
    postnet_dim=5,
    postnet_convolutions=2,
    postnet_kernel=5,
)
SOME = ("decoder.gate_layer.linear_layer.bias", "encoder.lstm.weight_hh_l0", "postnet.convolutions.1.0.conv.weight")


def _state(**rows: int) -> dict[str, Tensor]:
    """Random weights in NVIDIA's layout; rows: of the embedding."""
    generator = torch.Generator().manual_seed(1)
    state = {key: torch.randn(shape, generator=generator) for key, shape in LAYOUT.items()}
    state |= {key: torch.tensor(7) for key in state if key.endswith("num_batches_tracked")}
    return state | {"embedding.weight": torch.randn(rows.get("rows", 148), 6, generator=generator)}


def _content(state: dict[str, Any]) -> dict[str, Any]:
    return {"iteration": 12, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}, "learning_rate": 1e-3}


def _import(state: dict[str, Any], table: tuple[str, ...] | None = None) -> Voice:
    return import_voice(_content(state), table, HERE).voice


def _refusal(state: dict[str, Any], table: tuple[str, ...] | None = None) -> str:
    with pytest.raises(UserError) as refused:
        _import(state, table)
    text = str(refused.value)
    assert text.startswith(f"{HERE}: ")
    assert "\n" not in text
    return text


def _voice(**changes: Any) -> Voice:
    """A voice in our format, with random weights."""
    config = TrainerConfig(model=replace(SIZES, **changes), audio=AudioConfig(n_mels=8))
    torch.manual_seed(2)
    return Voice(Tacotron2(config.model, len(SYMBOLS), 8).state_dict(), config, SYMBOLS)


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a)


def _main(*arguments: object) -> int:
    return entry.main([str(argument) for argument in arguments])


def test_the_sizes_are_read_from_the_shapes() -> None:
    imported = _import(_state())
    assert imported.config == TrainerConfig(model=SIZES, audio=AudioConfig(n_mels=8))
    Tacotron2(SIZES, len(SYMBOLS), 8).load_state_dict(imported.weights)


def test_each_tensor_is_kept_under_its_new_name() -> None:
    state = _state()
    imported = _import(state)
    names = {nvidia_name(key): key for key in imported.weights}
    assert names.keys() == LAYOUT.keys()
    for name, key in names.items():
        assert name == "embedding.weight" or torch.equal(imported.weights[key], state[name])


@pytest.mark.parametrize(
    ("nvidias", "ours"),
    [
        ("embedding.weight", "encoder.embedding.weight"),
        ("encoder.convolutions.0.0.conv.bias", "encoder.convolutions.0.conv.bias"),
        ("encoder.convolutions.0.1.running_var", "encoder.convolutions.0.norm.running_var"),
        ("encoder.lstm.weight_ih_l0_reverse", "encoder.lstm.weight_ih_l0_reverse"),
        ("decoder.prenet.layers.1.linear_layer.weight", "decoder.prenet.layers.1.weight"),
        ("decoder.attention_rnn.weight_ih", "decoder.attention.lstm.weight_ih"),
        ("decoder.attention_layer.query_layer.linear_layer.weight", "decoder.attention.query.weight"),
        ("decoder.attention_layer.memory_layer.linear_layer.weight", "decoder.attention.memory.weight"),
        ("decoder.attention_layer.v.linear_layer.weight", "decoder.attention.energy.weight"),
        ("decoder.decoder_rnn.bias_hh", "decoder.lstm.bias_hh"),
        ("decoder.linear_projection.linear_layer.bias", "decoder.mel.bias"),
        ("decoder.gate_layer.linear_layer.bias", "decoder.gate.bias"),
        ("postnet.convolutions.1.1.weight", "postnet.convolutions.1.norm.weight"),
    ],
)
def test_known_names_are_mapped(nvidias: str, ours: str) -> None:
    assert nvidia_name(ours) == nvidias


@pytest.mark.parametrize("reduction", [1, 3])
def test_export_and_import_are_exact(reduction: int) -> None:
    voice_before = _voice(reduction=reduction)
    content, _ = export_voice(voice_before, HERE)
    back = import_voice(content, None, HERE).voice
    assert back.config.model == voice_before.config.model
    embedding = "encoder.embedding.weight"
    kept = [SYMBOLS.index(symbol) for symbol in SYMBOLS if symbol in TABLE]
    assert torch.equal(back.weights[embedding][kept], voice_before.weights[embedding][kept])
    assert _same({**back.weights, embedding: voice_before.weights[embedding]}, voice_before.weights)


def test_an_export_has_the_content_of_nvidias_checkpoints() -> None:
    content, _ = export_voice(_voice(), HERE)
    assert set(content) == {"iteration", "state_dict", "optimizer", "learning_rate"}
    assert {key: tuple(value.shape) for key, value in content["state_dict"].items()} == LAYOUT
    model = [torch.zeros(shape) for key, shape in LAYOUT.items() if "running" not in key and "num_batches" not in key]
    optimizer = torch.optim.Adam(model)
    optimizer.load_state_dict(content["optimizer"])
    assert optimizer.param_groups[0]["lr"] == content["learning_rate"] == 1e-3


def test_the_prefix_of_training_on_several_devices_is_dropped() -> None:
    state = _state()
    assert _same(_import({f"module.{key}": value for key, value in state.items()}).weights, _import(state).weights)
    some = {(f"module.{key}" if key in SOME else key): value for key, value in state.items()}
    assert "is missing" in _refusal(some)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(precision: torch.dtype) -> None:
    state = {key: value.to(precision) if value.is_floating_point() else value for key, value in _state().items()}
    weights = _import(state).weights
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}
    assert torch.equal(weights["decoder.mel.weight"], state["decoder.linear_projection.linear_layer.weight"].float())


def test_missing_counters_of_batch_norms_are_zero() -> None:
    state = {key: value for key, value in _state().items() if not key.endswith("num_batches_tracked")}
    assert int(_import(state).weights["encoder.convolutions.0.norm.num_batches_tracked"]) == 0


@pytest.mark.parametrize("key", sorted(LAYOUT))
def test_a_missing_tensor_is_named(key: str) -> None:
    state = _state()
    del state[key]
    if not key.endswith("num_batches_tracked"):
        assert re.search(rf"`{re.escape(key)}`( \(.*\))? is missing", _refusal(state))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("encoder.lstm.weight_hh_l0", torch.zeros(12), "must have 2 axes, but got the shape (12,)"),
        ("decoder.gate_layer.linear_layer.bias", torch.zeros(2), "must have the shape (1,), but got (2,)"),
        (
            "decoder.prenet.layers.0.linear_layer.weight",
            torch.zeros(4, 9),
            "must have the shape (4, 8), but got (4, 9)",
        ),
        ("decoder.linear_projection.linear_layer.weight", torch.zeros(9, 10), "a multiple of the 8 rows of"),
        ("decoder.linear_projection.linear_layer.bias", 3, "must be a tensor, but got int"),
        ("embedding.weight", torch.zeros(1, 1).expand(2**40, 6), "but got a sparse one, or a view of fewer numbers"),
        ("decoder.linear_projection.linear_layer.bias", torch.zeros(8, dtype=torch.int8), "but got torch.int8"),
        ("decoder.linear_projection.linear_layer.bias", torch.full((8,), torch.nan), "are not finite"),
        ("speaker_embedding.weight", torch.zeros(4, 6), "(4, 6) is not in the model"),
        ("postnet.convolutions.1.0.conv.weight", torch.zeros(0, 5, 5), "a multiple of the 0 rows of"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_with_the_expected_shape(key: str, value: Any, message: str) -> None:
    text = _refusal({**_state(), key: value})
    assert f"`{key}`" in text
    assert message in text


def test_several_problems_are_counted() -> None:
    extra = {f"extra.{i}": torch.zeros(1) for i in range(3)}
    assert "`extra.0` (1,) is not in the model (3 such problems)" in _refusal(_state() | extra)


def test_a_kernel_that_changes_the_length_is_refused() -> None:
    changed = {"encoder.convolutions.0.0.conv.weight": torch.zeros(6, 6, 4)}
    assert "`model.encoder_kernel` must be odd" in _refusal(_state() | changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "must hold a `state_dict`, as NVIDIA/tacotron2 saves it, but holds nothing."),
        ({"state_dict": 3}, "but holds `state_dict`"),
        ({"model": {}, "config": {}}, "but holds `model`, `config`. It is a voice already and need not be imported."),
    ],
)
def test_a_file_of_another_form_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        import_voice(content, None, HERE)
    assert message in str(refused.value)


def test_nvidias_own_table() -> None:
    assert len(TABLE) == 148
    assert TABLE[:12] == ("_", "-", "!", "'", "(", ")", ",", ".", ":", ";", "?", " ")
    assert "".join(TABLE[12:64]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert TABLE[64:70] == ("@AA", "@AA0", "@AA1", "@AA2", "@AE", "@AE0")
    assert TABLE[-3:] == ("@Y", "@Z", "@ZH")
    assert list(ARPABET) == sorted(ARPABET)


def test_each_symbol_gets_its_row_of_the_table() -> None:
    state = _state()
    imported = import_voice(_content(state), None, HERE)
    nvidias, ours = state["embedding.weight"], imported.voice.weights["encoder.embedding.weight"]
    assert ours.shape == (len(SYMBOLS), 6)
    for row, symbol in enumerate(SYMBOLS):
        if symbol in TABLE:
            assert torch.equal(ours[row], nvidias[TABLE.index(symbol)]), symbol
            assert symbol in imported.symbols.taken or row == 0
        else:
            assert symbol in imported.symbols.new
            assert 0 < float(ours[row].abs().max()) < 1
    assert torch.equal(ours, _import(state).weights["encoder.embedding.weight"]), "new rows are always the same"
    assert imported.symbols.left_out == tuple(symbol for symbol in TABLE[1:] if symbol not in SYMBOLS)


def test_a_table_with_another_order_and_length_is_used() -> None:
    table = ("<blank>", *reversed(SYMBOLS[1:]), "ß", "_")
    state = _state(rows=len(table))
    imported = import_voice(_content(state), table, HERE)
    ours = imported.voice.weights["encoder.embedding.weight"]
    assert torch.equal(ours[0], state["embedding.weight"][0])
    assert torch.equal(ours[1:], state["embedding.weight"][1 : len(SYMBOLS)].flip(0))
    assert (imported.symbols.new, imported.symbols.left_out) == ((), ("ß", "_"))


@pytest.mark.parametrize(
    ("rows", "table", "message"),
    [
        (100, None, "has 100 rows, but NVIDIA's own table 148 symbols"),
        (100, TABLE, "has 100 rows, but --symbols lists 148 symbols"),
        (28, ("_", *"abcdefghijklmnopqrstuvwxy", "A", "Z"), "lack letters both of a-z and of the Russian alphabet"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows: int, table: tuple[str, ...] | None, message: str) -> None:
    assert message in _refusal(_state(rows=rows), table)


def test_a_table_is_read_as_one_symbol_per_line(tmp_path: Path) -> None:
    path = tmp_path / "symbols 0.txt"
    path.write_bytes("\ufeff_\r\n \r\nи\u0306\r\n@AA1\r\n".encode())
    assert read_table(path) == ("_", " ", "й", "@AA1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"_\na\n\nb\n", "line 3 is empty"),
        (b"_\na\nb\na\n", "line 4 repeats the symbol 'a' of line 2"),
        (b"_\n\xff\n", "is not UTF-8 (invalid start byte at byte 2)"),
        (b"", "line 1 is empty"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "symbols 0.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_table(path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_capitals_get_the_rows_of_small_letters_and_phonemes_zeros() -> None:
    given = _voice()
    content, mapped = export_voice(given, HERE)
    nvidias, ours = content["state_dict"]["embedding.weight"], given.weights["encoder.embedding.weight"]
    for row, symbol in enumerate(TABLE):
        expected = torch.zeros(6) if symbol.startswith("@") else ours[SYMBOLS.index(symbol.lower())]
        assert torch.equal(nvidias[row], expected), symbol
    assert mapped.new == tuple("@" + name for name in ARPABET)
    assert mapped.left_out == ('"', "+", *SYMBOLS[SYMBOLS.index("а") :])


def test_a_voice_of_phonemes_is_refused() -> None:
    given = _voice()
    phonemes = replace(given, config=replace(given.config, text=TextConfig("phonemes", "de")))
    with pytest.raises(UserError, match="the voice reads phonemes") as refused:
        export_voice(phonemes, HERE)
    assert str(refused.value).startswith(f"{HERE}: ")


def test_different_embedding_and_encoder_widths_are_refused() -> None:
    with pytest.raises(UserError, match=r"`model.embedding_dim` is 4 and `model.encoder_dim` 6") as refused:
        export_voice(_voice(embedding_dim=4), HERE)
    assert str(refused.value).startswith(f"{HERE}: ")


def test_the_commands_convert_both_ways_and_report_the_symbols(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, again = tmp_path / "a'; echo foo.pt", tmp_path / "new" / "voice 0.pt", tmp_path / "again.pt"
    torch.save(_content({f"module.{key}": value.half() for key, value in _state().items()}), source)
    assert _main("import", source, "--to", target) == ExitCode.FINISHED
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(f"{source}: 0.0 million parameters, 8 mel bins, reduction factor 1, 12 iterations")
    assert shown[1].startswith("symbols kept (37): ' ' ! '")
    assert shown[2].startswith('new symbols, not trained yet (35): " + а б')
    assert shown[3].startswith("left out, since no text contains them after normalisation (110): A B C")
    further = f"set `preset: voice` and `warm_start: {target}`, and also `audio.n_mels: 8`."
    assert shown[4] == f"{target}: written. To train it further, {further}"

    imported = voice_format.load(target)
    assert (imported.config.model, imported.symbols, imported.figures) == (SIZES, SYMBOLS, None)
    assert set(checkpoint_files.load(target)) == {"model", "config", "symbols", "figures", "trained", "recordings"}

    assert _main("export", target, "--to", again) == ExitCode.FINISHED
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].startswith("symbols kept (37): ")
    assert shown[3].startswith("rows of zeros, do not use them (84): @AA @AA0")
    assert shown[4].startswith("left out, since NVIDIA's table lacks them (35): \" + а")
    assert shown[5].startswith("hparams: n_mel_channels=8,symbols_embedding_dim=6,encoder_kernel_size=3")
    assert shown[-1].startswith(f"{again}: written")
    exported = torch.load(again, weights_only=True)["state_dict"]
    before = torch.load(source, weights_only=True)["state_dict"]
    for key in LAYOUT:
        assert key == "embedding.weight" or torch.equal(exported[key], before[f"module.{key}"].to(exported[key].dtype))


def test_an_export_reports_what_nvidias_code_does_differently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voice_format.save(tmp_path / "voice.pt", _voice(reduction=2, prenet_dropout=0.25))
    assert _main("export", tmp_path / "voice.pt", "--to", tmp_path / "nvidia.pt") == ExitCode.FINISHED
    shown = capsys.readouterr().out
    assert "n_frames_per_step=2" in shown
    assert "NVIDIA's code can speak, but not train" in shown
    assert "`model.prenet_dropout` was 0.25; in NVIDIA's code it is always 0.5" in shown


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "given.pt"
    torch.save(_content(_state()), source)
    before = source.read_bytes()
    assert _main("import", source, "--to", source) == ExitCode.BAD_INPUT
    shown = capsys.readouterr()
    assert shown.err == (f"{source}: exists and is not overwritten; remove it, or give another name to --to.\n")
    assert shown.out == ""
    assert source.read_bytes() == before


def test_a_table_is_requested_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, table = tmp_path / "n.pt", tmp_path / "v.pt", tmp_path / "s.txt"
    torch.save(_content(_state(rows=len(SYMBOLS))), source)
    assert _main("import", source, "--to", target) == ExitCode.BAD_INPUT
    assert "the option --symbols FILE" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]
    table.write_text("\n".join(SYMBOLS) + "\n", encoding="utf-8")
    assert _main("import", source, "--to", target, "--symbols", table) == ExitCode.FINISHED
    assert "not trained yet (0): none" in capsys.readouterr().out
    assert torch.equal(
        voice_format.load(target).weights["encoder.embedding.weight"],
        torch.load(source, weights_only=True)["state_dict"]["embedding.weight"],
    )


@pytest.mark.parametrize("command", ["import", "export"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"torn", "is no checkpoint, or an incomplete one"),
        (b"", "is no checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_bad_input(
    tmp_path: Path, command: str, content: bytes | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "given.pt"
    if content is not None:
        source.write_bytes(content)
    assert _main(command, source, "--to", tmp_path / "target.pt") == ExitCode.BAD_INPUT
    shown = capsys.readouterr().err
    assert shown.startswith(f"{source}: ")
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "target.pt").exists()


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_target_that_cannot_be_written_is_bad_input(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "given.pt"
    if command == "import":
        torch.save(_content(_state()), source)
    else:
        voice_format.save(source, _voice())
    assert _main(command, source, "--to", source / "below.pt") == ExitCode.BAD_INPUT
    assert "below.pt: cannot be written" in capsys.readouterr().err


def test_objects_that_would_run_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": _state(), "hparams": SIZES}, tmp_path / "n.pt")
    assert _main("import", tmp_path / "n.pt", "--to", tmp_path / "v.pt") == ExitCode.BAD_INPUT
    assert "is no checkpoint, or an incomplete one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["import"],
        ["import", "x.pt"],
        ["export", "x.pt", "--symbols", "y", "--to", "z"],
        ["--config", "c", "export", "x", "--to", "y"],
    ],
)
def test_wrong_arguments_end_as_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        entry.main(arguments)
    assert left.value.code == ExitCode.BAD_INPUT
    assert "usage: python -m trainer" in capsys.readouterr().err


def test_help_shows_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        entry.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "python -m trainer import NVIDIA.pt --to VOICE.pt [--symbols FILE]" in shown
    assert "python -m trainer export VOICE.pt --to FILE" in shown


@pytest.mark.skipif(not CHECKOUT, reason="TACOTRON2_CHECKOUT names no checkout of NVIDIA/tacotron2")
def test_nvidias_own_code_gives_the_same_numbers() -> None:
    command = [sys.executable, "-m", "benchmarks.nvidia_parity", "--nvidia", CHECKOUT, "--size", "tiny"]
    root = Path(entry.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all within limits" in done.stdout

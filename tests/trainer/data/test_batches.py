"""Batches: padding is silence, each clip comes once, and the order is reproducible."""

import math

import numpy as np
import pytest
import torch
from random_features import random_features

from benchmarks.batch_sizes import count
from benchmarks.batch_sizes import lengths as lengths_of_ljspeech
from trainer.config import TrainerConfig
from trainer.data.batches import Padding, collate, epoch_batches, validation_batches
from trainer.data.features import Features

FLOOR = 1e-5


@pytest.fixture(scope="module")
def features() -> Features:
    return random_features(TrainerConfig(), utterances=60, seconds=0.5, seed=1)


@pytest.mark.parametrize("reduction", [1, 2, 3, 5])
def test_a_batch_has_its_clips_and_silence(features: Features, reduction: int) -> None:
    indices = (3, 41, 7)
    batch = collate(features, indices, Padding(reduction), FLOOR)
    longest = max(features.frames[i] for i in indices)
    assert batch.mels.shape[1] % reduction == 0
    assert longest <= batch.mels.shape[1] < longest + reduction
    assert batch.tokens.shape == (3, max(len(features.tokens(i)) for i in indices))
    assert batch.indices == indices
    assert batch.frames == sum(features.frames[i] for i in indices)
    for row, i in enumerate(indices):
        frames, tokens = int(batch.mel_lengths[row]), int(batch.token_lengths[row])
        assert (frames, tokens) == (features.frames[i], len(features.tokens(i)))
        np.testing.assert_array_equal(batch.mels[row, :frames].numpy(), features.mel(i))
        assert (batch.mels[row, frames:] == torch.tensor(math.log(FLOOR))).all()
        assert batch.tokens[row, :tokens].tolist() == features.tokens(i).tolist()
        assert (batch.tokens[row, tokens:] == 0).all()
    assert batch.mels.dtype == torch.float32
    assert {t.dtype for t in (batch.tokens, batch.token_lengths, batch.mel_lengths)} == {torch.int64}


def test_sizes_are_rounded_up_by_the_padding(features: Features) -> None:
    batch, wide = (collate(features, (3, 41, 7), padding, FLOOR) for padding in (Padding(), Padding(32, 16)))
    assert wide.mels.shape[1] % 32 == 0
    assert 0 <= wide.mels.shape[1] - batch.mels.shape[1] < 32
    assert wide.tokens.shape[1] % 16 == 0
    assert torch.equal(wide.mels[:, : batch.mels.shape[1]], batch.mels)
    assert (wide.mels[:, batch.mels.shape[1] :] == torch.tensor(math.log(FLOOR))).all()
    assert torch.equal(wide.tokens[:, : batch.tokens.shape[1]], batch.tokens)
    assert torch.equal(wide.mel_lengths, batch.mel_lengths)


def test_a_tail_of_silence_follows_the_longest_clip(features: Features) -> None:
    batch, tailed = (collate(features, (3, 41), Padding(3, tail=tail), FLOOR) for tail in (0, 12))
    assert tailed.mels.shape[1] == batch.mels.shape[1] + 12
    assert (tailed.mels[:, batch.mels.shape[1] :] == torch.tensor(math.log(FLOOR))).all()


def test_a_batch_can_be_moved_and_is_a_copy(features: Features) -> None:
    batch = collate(features, (0, 1), Padding(), FLOOR)
    moved = batch.to("meta")
    assert {t.device.type for t in (moved.tokens, moved.mels, moved.mel_lengths)} == {"meta"}
    assert moved.token_lengths.device.type == "cpu"
    before = features.mel(0).copy()
    batch.mels.zero_()
    np.testing.assert_array_equal(features.mel(0), before)


@pytest.mark.parametrize(("clips", "size"), [(1, 1), (5, 8), (100, 16), (513, 32), (64, 16)])
def test_each_clip_comes_once_an_epoch(clips: int, size: int) -> None:
    lengths = np.random.default_rng(0).integers(50, 800, clips)
    batches = epoch_batches(lengths, size, seed=1, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(clips))
    assert sorted(map(len, batches))[1:] == [size] * (len(batches) - 1)
    assert len(batches) == math.ceil(clips / size)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(50, 800, 200)
    orders = [epoch_batches(lengths, 16, seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert orders[0] == epoch_batches(lengths.tolist(), 16, 1, 0)
    assert len({tuple(order) for order in orders}) == 4
    assert {frozenset(b) for b in orders[0]} != {frozenset(b) for b in orders[1]}


@pytest.mark.parametrize(("clips", "size"), [(2048, 32), (285, 16), (285, 28)])
def test_less_than_a_tenth_is_padding(clips: int, size: int) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(60, 300, clips)

    def padding(batches: list[tuple[int, ...]]) -> float:
        return 1 - lengths.sum() / sum(len(b) * max(lengths[i] for i in b) for b in batches)

    order = rng.permutation(clips)
    chance = [tuple(order[i : i + size].tolist()) for i in range(0, clips, size)]
    assert padding(chance) > 0.3
    for epoch in range(3):
        assert padding(epoch_batches(lengths, size, 1, epoch)) < 0.1


@pytest.mark.parametrize(("clips", "size"), [(2000, 32), (13_000, 128)])
def test_a_clip_is_batched_with_others_in_the_next_epoch(clips: int, size: int) -> None:
    lengths = np.random.default_rng(0).integers(60, 300, clips)
    first, second = ([set(b) for b in epoch_batches(lengths, size, 1, epoch)] for epoch in (0, 1))
    assert np.mean([max(len(a & b) for b in second) for a in first]) < size / 2


def test_of_a_corpus_as_long_as_ljspeech_little_is_padding_and_sizes_are_few() -> None:
    frames, tokens = lengths_of_ljspeech(13_100)
    counted = count(frames, tokens, Padding(32, 16, tail=3).with_usual(frames, tokens), 128, epochs=3)
    assert counted["padding of frames"] < 0.05
    assert counted["sizes"] < 30


def test_batches_of_as_many_frames_have_as_many_tokens() -> None:
    frames = np.array([30, 31, 32, 62, 90, 91, 92, 150])
    tokens = np.array([5, 6, 40, 7, 9, 8, 7, 11])  # the third one is read fast
    padding = Padding(32, 16).with_usual(frames, tokens)
    assert padding.usual == {32: 40, 64: 40, 96: 9, 160: 11}, "a clip is sorted beside others that are a tenth longer"
    assert padding.padded_text(3, 96) == padding.padded_text(9, 96) == 9
    assert padding.padded_text(10, 96) == 16, "of clips that came together by chance"
    assert padding.padded_text(10, 128) == 16, "of a size that this corpus does not have"


def test_batches_are_not_ordered_by_length() -> None:
    lengths = np.arange(1000)
    longest = [max(batch) for batch in epoch_batches(lengths, 8, 1, 0)]
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.3


def test_validation_is_always_the_same(features: Features) -> None:
    batches = validation_batches(features, 2)
    assert batches == validation_batches(features, 2)
    order = [i for batch in batches for i in batch]
    assert sorted(order) == sorted(features.validation)
    assert [len(batch) for batch in batches] == [2, 1]
    assert np.all(np.diff(features.frames[order]) >= 0)


def test_validation_batches_are_larger_as_long_as_their_frames_are_few(features: Features) -> None:
    three = sorted(features.validation, key=lambda clip: int(features.frames[clip]))
    longest = int(features.frames[three[-1]])
    assert validation_batches(features, 1, most_frames=3 * longest) == [three]
    assert validation_batches(features, 1, most_frames=3 * longest - 1) == [three[:2], three[2:]]
    assert validation_batches(features, 2, most_frames=longest) == [three[:2], three[2:]]

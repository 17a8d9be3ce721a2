"""Every loader gives the batch that collating gives, whatever was announced as upcoming."""

from collections.abc import Callable

import pytest
import torch
from random_features import random_features

from trainer.config import TrainerConfig
from trainer.data.batches import Batch, Padding, collate
from trainer.data.features import Features
from trainer.data.loading import Collating, Loader, Resident, Streaming, make_loader

FLOOR = 1e-5
PADDING = Padding(6, 4, usual={42: 10, 66: 14})
CPU = torch.device("cpu")
LOADERS: dict[str, Callable[[Features], Loader]] = {
    "collating": lambda features: Collating(features, PADDING, FLOOR),
    "streaming": lambda features: Streaming(features, PADDING, FLOOR, CPU),
    "resident": lambda features: Resident(features, PADDING, FLOOR, CPU),
}


@pytest.fixture(scope="module")
def features() -> Features:
    return random_features(TrainerConfig(), utterances=20, seconds=0.5, seed=1)


def equal(a: Batch, b: Batch) -> bool:
    tensors = ("tokens", "token_lengths", "mels", "mel_lengths")
    return (a.indices, a.frames) == (b.indices, b.frames) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in tensors
    )


@pytest.mark.parametrize("kind", LOADERS)
def test_a_loader_gives_the_collated_batch(kind: str, features: Features) -> None:
    loader = LOADERS[kind](features)
    last = (19, 3)  # after the corpus's last clip there is nothing to read
    for indices, upcoming in [((3, 7, 1), (2, 5)), ((2, 5), (9, 9)), ((4,), last), (last, ()), ((3, 7, 1), ())]:
        assert equal(loader.load(indices, upcoming), collate(features, indices, PADDING, FLOOR))
    assert loader.load((0, 1)).mels.dtype == torch.float32


def test_streaming_loads_in_advance(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def counted(*arguments: object) -> Batch:
        loaded.append(arguments[1])
        return collate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("trainer.data.loading.collate", counted)
    loader = Streaming(features, PADDING, FLOOR, CPU)
    loader.load((1, 2), (3, 4))
    loader.load((3, 4), ())
    assert loaded == [(1, 2), (3, 4)]


def test_on_a_cpu_batches_are_collated(features: Features) -> None:
    loader = make_loader(features, 3, FLOOR, CPU)
    assert isinstance(loader, Collating)
    assert loader.padding == Padding(3)

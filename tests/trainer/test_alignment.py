"""The alignment score of attention whose quality is known."""

import pytest
import torch
from torch import Tensor

from trainer.alignment import AlignmentScore, alignment_score

T, N = 400, 60


def line(start: float, end: float, steps: int) -> Tensor:
    """Token centres from `start` to `end` (in tokens), one per step."""
    return torch.floor(start + (torch.arange(steps) + 0.5) / steps * (end - start)).clamp(0, N - 1)


def hard(path: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(path.long(), N).float()


def soft(path: Tensor, width: float) -> Tensor:
    near = torch.exp(-((torch.arange(N) - path[:, None]) ** 2) / (2 * width**2))
    return near / near.sum(1, keepdim=True)


def natural() -> Tensor:
    """Tokens of unequal length; each step also attends a little to the neighbours."""
    generator = torch.Generator().manual_seed(3)
    durations = torch.rand(N, generator=generator) + torch.rand(N, generator=generator) + 0.3
    edges = (durations.cumsum(0) / durations.sum() * T).round().long()
    return soft(torch.searchsorted(edges, torch.arange(T), right=True).clamp(max=N - 1), 0.8)


def jumps(first: tuple[float, float], second: tuple[float, float], at: int) -> Tensor:
    return torch.cat([line(*first, at), line(*second, T - at)])


def smear() -> Tensor:
    """What guided attention alone produces: a wide band without a peak."""
    along = (torch.arange(T) + 0.5)[:, None] / T
    across = (torch.arange(N) + 0.5)[None, :] / N
    wide = torch.exp(-((across - along) ** 2) / (2 * 0.15**2))
    return wide / wide.sum(1, keepdim=True)


UNIFORM = torch.full((T, N), 1 / N)
IDEAL = line(0, N, T)

# name -> (attention, score)
CASES: dict[str, tuple[Tensor, float]] = {
    "ideal line": (hard(IDEAL), 1.00),
    "natural durations": (natural(), 0.97),
    "40/60 frames of edge silence": (
        hard(torch.cat([torch.zeros(40), line(0, N, 300), torch.full((60,), N - 1)])),
        0.94,
    ),
    "20 % uniform floor": (0.8 * hard(IDEAL) + 0.2 * UNIFORM, 0.78),
    "20 tokens skipped": (hard(jumps((0, 20), (40, 60), 200)), 0.75),
    "20 tokens repeated": (hard(jumps((0, 40), (20, 60), 200)), 0.91),
    "collapse at 40 %": (hard(torch.cat([line(0, 24, 160), torch.full((240,), 29)])), 0.47),
    "end reached at 50 %": (hard(torch.cat([line(0, N, 200), torch.full((200,), N - 1)])), 0.36),
    "shifted by 15 tokens": (hard(torch.where(IDEAL + 15 < N, IDEAL + 15, IDEAL - 15)), 0.21),
    "guided smear, no focus": (smear(), 0.09),
    "stuck in the middle": (hard(torch.full((T,), N // 2)), 0.05),
    "stuck at the end": (hard(torch.full((T,), N - 1)), 0.0),
    "uniform": (UNIFORM, 0.0),
    "random": (torch.rand(T, N, generator=torch.Generator().manual_seed(1)), 0.0),
    "reversed": (hard(N - 1 - IDEAL), 0.0),
}


def score_one(attention: Tensor) -> AlignmentScore:
    steps, tokens = attention.shape
    return alignment_score(attention[None], torch.tensor([tokens]), torch.tensor([steps]))


@pytest.mark.parametrize("name", CASES)
def test_known_attention_gets_its_known_score(name: str) -> None:
    attention, expected = CASES[name]
    assert score_one(attention).alignment.item() == pytest.approx(expected, abs=0.025)


def test_the_mean_of_the_diagonal_does_not_distinguish_perfect_from_uniform() -> None:
    """The reason for the score: the old metric gives both the same number."""
    diagonal = torch.arange(N)
    old_metric = [attention[diagonal, diagonal].mean().item() for attention in (hard(IDEAL), UNIFORM)]
    assert old_metric[0] == pytest.approx(old_metric[1], abs=0.01)
    assert score_one(hard(IDEAL)).alignment - score_one(UNIFORM).alignment > 0.99


@pytest.mark.parametrize("garbage", [1e6, -5.0, float("nan"), float("inf")])
def test_garbage_in_the_padding_changes_nothing(garbage: float) -> None:
    cases = [attention[:350, :50] for attention, _ in CASES.values()]
    clean = torch.stack(cases)
    padded = torch.full((len(cases), T + 7, N + 9), garbage)
    padded[:, :350, :50] = clean
    lengths = torch.full((len(cases),), 50), torch.full((len(cases),), 350)
    for part in ("alignment", "diagonality", "focus", "coverage", "monotonicity", "backtracking"):
        torch.testing.assert_close(
            getattr(alignment_score(padded, *lengths), part), getattr(alignment_score(clean, *lengths), part)
        )


def test_a_batch_scores_as_its_utterances_alone() -> None:
    shapes = [(400, 60), (100, 25), (37, 12), (9, 30)]
    torch.manual_seed(0)
    singles = [torch.softmax(4 * torch.randn(shape), 1) for shape in shapes]
    batch = torch.zeros(len(shapes), 400, 60)
    for i, single in enumerate(singles):
        batch[i, : single.shape[0], : single.shape[1]] = single
    together = alignment_score(batch, torch.tensor([n for _, n in shapes]), torch.tensor([t for t, _ in shapes]))
    for i, single in enumerate(singles):
        assert together.alignment[i].item() == pytest.approx(score_one(single).alignment.item(), abs=1e-6)


def test_rows_are_renormalised() -> None:
    torch.testing.assert_close(score_one(0.3 * natural()).alignment, score_one(natural()).alignment)


def test_fewer_steps_than_tokens_can_still_be_perfect() -> None:
    steps = 20
    path = torch.floor((torch.arange(steps) + 0.5) / steps * N)
    assert score_one(hard(path)).coverage.item() == pytest.approx(1.0)
    assert score_one(hard(path)).alignment.item() > 0.95


def test_short_texts_are_not_scored_and_do_not_count() -> None:
    attention = torch.zeros(2, 60, 60)
    attention[0] = torch.eye(60)
    attention[1, :, 0] = 1.0
    score = alignment_score(attention, torch.tensor([60, 5]), torch.tensor([60, 60]))
    assert score.alignment[1].isnan()
    assert score.summary()["alignment"] == pytest.approx(1.0, abs=0.01)
    assert score.summary()["alignment_share_good"] == 1.0


def test_backtracking_is_measured_in_units_of_the_text() -> None:
    repeated = hard(jumps((0, 40), (20, 60), 200))
    assert score_one(repeated).backtracking.item() == pytest.approx(19 / N, abs=1 / N)
    assert score_one(hard(IDEAL)).backtracking.item() == 0.0

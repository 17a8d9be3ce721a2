"""One update of the model: forward, losses, backward, clipping, optimiser. On a GPU it is one CUDA graph.

The graph is captured when a size of batch comes for the second time; the first time its kernels are compiled and
libraries set up by an update without a graph, which gives the same numbers. Where the device has too little memory to
capture a size, that size and larger ones run without a graph; where capturing fails otherwise, the recurrences alone
are graphs (`trainer.model.recurrence`).

Shapes: B batch, N tokens, L frames, M mel bins.
"""

import logging
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.alignment import alignment_score
from trainer.config import TrainerConfig
from trainer.data.batches import Batch
from trainer.device import autocast
from trainer.exit_codes import is_out_of_memory
from trainer.losses import Losses, training_losses
from trainer.model import Tacotron2
from trainer.model.cuda_graphs import Arena, CudaCapture, Kept, copy_all, free_unused
from trainer.model.recurrence import SIZES
from trainer.training_figures import RecentNorms

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What an update measured, on the device. Those of a graph are overwritten by the next update."""

    means: Tensor  # (5,) float64: what `training_figures.NAMES` names
    checks: Tensor  # (4,) float32: whether it was finite, loss, gradient norm, and the limit of `RecentNorms`
    mel_of_clips: Tensor  # (B,) loss
    alignment: Tensor | None  # (B,) where clips are scored


class Updates:
    """Changes the model, the optimiser and the norms; `updates(batch, ...)` is one update.

    norms: where exploding gradients are clipped; score_clips: whether each clip's alignment is measured.
    """

    def __init__(
        self,
        model: Tacotron2,
        optimizer: torch.optim.Optimizer,
        config: TrainerConfig,
        norms: RecentNorms | None = None,
        *,
        score_clips: bool = False,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._config = config
        self._norms = norms
        self._score_clips = score_clips
        self._device = next(model.parameters()).device
        self._graphs = _Graphs() if self._device.type == "cuda" else None
        self._captured_state = optimizer.state  # another one after `load_state_dict`
        self._lr = torch.zeros((), device=self._device)
        self._guided_weight = torch.zeros((), device=self._device)

    @property
    def captured(self) -> int:
        """Sizes of batches that are replayed."""
        return self._graphs.captured if self._graphs is not None else 0

    def __call__(self, batch: Batch, lr: float, guided_weight: float, *, limits: bool = False) -> Outcome:
        """limits: whether an exploding gradient is clipped by the norms. Waits for the device only where it captures.

        Where loss or gradients are not finite, the optimiser leaves everything as it was.
        """
        lengths = batch.token_lengths.to(self._device, non_blocking=True)
        inputs = (batch.tokens, lengths, batch.mels, batch.mel_lengths)
        if self._device.type != "cuda":
            return self._update(inputs, lr, guided_weight, limits)
        self._lr.fill_(lr)
        self._guided_weight.fill_(guided_weight)
        guided = self._guided_weight if guided_weight > 0 else 0.0
        outcome = self._graphed(inputs, guided, limits)
        for group in self._optimizer.param_groups:
            group["lr"] = lr  # a number again, which is what is saved
        return outcome

    def _graphed(self, inputs: Sequence[Tensor], guided: Tensor | float, limits: bool) -> Outcome:
        if self._graphs is not None:
            if self._optimizer.state is not self._captured_state:
                self._graphs = _Graphs()
                self._captured_state = self._optimizer.state
            key = (*(x.shape for x in inputs), isinstance(guided, Tensor), limits)
            try:
                return self._graphs.run(key, inputs, lambda static: self._update(static, self._lr, guided, limits))
            except CaptureError as error:
                log.warning("no CUDA graph for whole updates, which run slower: %s", error)
                self._graphs = None
                self._model.use_graphs()
        return self._update(inputs, self._lr, guided, limits)

    def _update(self, inputs: Sequence[Tensor], lr: Tensor | float, guided: Tensor | float, limits: bool) -> Outcome:
        tokens, token_lengths, mels, mel_lengths = inputs
        config = self._config
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(config.device, self._device):
            output = self._model(tokens, token_lengths, mels, mel_lengths)
        losses = training_losses(output, mels, mel_lengths, token_lengths, config.loss, config.guided_attention, guided)
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm, limit = self._clip_gradients(limits)
        total = losses.total.detach()
        finite = torch.isfinite(norm) & torch.isfinite(total)
        self._step(lr, finite)
        alignment = None
        if self._score_clips:
            alignment = alignment_score(output.attention.detach(), token_lengths, output.steps).alignment
        checks = torch.stack([finite.float(), total.float(), norm.float(), limit.float()])
        return Outcome(_means(losses, norm), checks, losses.mel_of_clips, alignment)

    def _clip_gradients(self, limits: bool) -> tuple[Tensor, Tensor]:
        """-> the gradient norm before, and the limit of the norms, infinite where there is none; both ()."""
        clip = self._config.optimizer.gradient_clip
        parameters = list(self._model.parameters())
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self._norms is None or not limits:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
            return norm, torch.full_like(norm, math.inf)
        limit = self._norms.limit(norm, clip)
        # Gradients become clip / norm as large; with the norm given as so much larger, limit / norm.
        torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm * (clip / limit).clamp_min(1.0))
        return norm, limit

    def _step(self, lr: Tensor | float, finite: Tensor) -> None:
        """The optimiser skips it where something is not finite."""
        self._optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # of torch's fused optimisers
        capturing = self._device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        for group in self._optimizer.param_groups:
            group["lr"] = lr
            group["capturable"] = capturing  # a fused one always is, and warns where it says so for nothing
        self._optimizer.step()
        for group in self._optimizer.param_groups:
            group["capturable"] = False


def _means(losses: Losses, norm: Tensor) -> Tensor:
    terms = (losses.total.detach(), losses.mel, losses.gate, losses.guided_attention, norm)
    return torch.stack([term.double() for term in terms])


class CaptureError(RuntimeError):
    """An update could not be captured as a graph."""


class _Graphs:
    """Graphs of a function of tensors, one for each key. Their memory is shared: they run one after the other."""

    def __init__(self) -> None:
        self._capture = CudaCapture()
        self._arena = Arena()
        self._seen: Kept[_Size] = Kept(SIZES)
        self._too_large = math.inf  # elements of inputs from which the device lacks memory for a graph

    @property
    def captured(self) -> int:
        return sum(size.graph is not None for size in self._seen)

    def run(self, key: Hashable, inputs: Sequence[Tensor], function: Callable[[Sequence[Tensor]], Outcome]) -> Outcome:
        """Raises CaptureError, and has done nothing then."""
        size = self._seen.get(key, _Size)
        if size.came and size.graph is None and _elements(inputs) < self._too_large:
            size.graph = self._captured(inputs, function)
        size.came = True
        if size.graph is None:
            return function(inputs)
        copy_all(inputs, size.graph.inputs)
        size.graph.replay()
        return size.graph.outcome

    def _captured(
        self, inputs: Sequence[Tensor], function: Callable[[Sequence[Tensor]], Outcome]
    ) -> "_Replayed | None":
        """None where the device has too little memory."""
        outcomes: list[Outcome] = []
        try:
            static = [self._arena.buffer(str(i), x) for i, x in enumerate(inputs)]
            copy_all(inputs, static)
            replay = self._capture(lambda: outcomes.append(function(static)))
        except RuntimeError as error:
            cause = error.__context__ or error  # what came first says more
            if not (is_out_of_memory(error) or is_out_of_memory(cause)):
                raise CaptureError(str(cause)) from error
            sizes = [tuple(x.shape) for x in inputs]
            log.warning("no CUDA graph for updates of %s and larger, which run slower: %s", sizes, cause)
        else:
            return _Replayed(static, replay, outcomes[0])
        self._too_large = _elements(inputs)
        self._free()
        return None

    def _free(self) -> None:
        """Return the memory of all graphs, which share it. Smaller sizes are captured again when they come."""
        for size in self._seen:
            size.graph = None
        self._capture = CudaCapture()
        self._arena = Arena()
        free_unused()


def _elements(inputs: Sequence[Tensor]) -> int:
    return sum(x.numel() for x in inputs)


@dataclass(frozen=True)
class _Replayed:
    inputs: Sequence[Tensor]
    replay: Callable[[], None]
    outcome: Outcome


@dataclass
class _Size:
    """Of batches."""

    came: bool = False
    graph: _Replayed | None = None

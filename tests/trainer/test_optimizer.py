"""Adam without what `torch.compile` needs: the same numbers, and none of its modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainer import optimizer

# Trains, evaluates and resumes. Argument: a folder.
TRAINING = """
import sys
from pathlib import Path
from random_features import random_features
from short_run import Run, small_config, stop_after
from trainer.device import warm_up
warm_up()
config = small_config(Path(sys.argv[1]), logging={"tensorboard": True, "pictures": True, "samples": True})
features = random_features(config, utterances=44, seconds=0.5, seed=1)
Run(config, features, stop_after(2))
Run(config, features)
print(*sorted(name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor", "sympy"))))
"""


def updated(kind: type[torch.optim.Adam], *, resumed: bool) -> tuple[list[Tensor], list[Tensor]]:
    """The weights and the moments after six updates of different gradients. resumed: after three, by another one."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
    adam = kind(model.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    for number in range(6):
        if resumed and number == 3:
            state = adam.state_dict()
            adam = kind(model.parameters(), lr=1.0, fused=True)
            adam.load_state_dict(state)
        adam.zero_grad(set_to_none=True)
        model(torch.randn(4, 7)).square().sum().backward()
        adam.step()
    return [*model.parameters()], [moment for state in adam.state.values() for moment in state.values()]


@pytest.mark.parametrize(("ours", "theirs"), [(optimizer.Adam, torch.optim.Adam), (optimizer.AdamW, torch.optim.AdamW)])
@pytest.mark.parametrize("resumed", [False, True])
def test_the_numbers_are_those_of_torch(
    ours: type[torch.optim.Adam], theirs: type[torch.optim.Adam], resumed: bool
) -> None:
    found, wanted = updated(ours, resumed=resumed), updated(theirs, resumed=False)
    for values, expected in zip(found, wanted, strict=True):
        assert len(values) == len(expected) > 0
        assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))


@pytest.mark.slow
def test_training_imports_nothing_of_the_compiler(tmp_path: Path) -> None:
    """It takes a second of each start, and 140 MB of each trainer."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAINING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == ""

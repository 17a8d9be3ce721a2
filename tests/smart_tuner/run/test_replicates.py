"""A whole study with replicates: real processes and a real store."""

import io
import json

import pytest
from lab import GUIDED, Lab

from smart_tuner.figures import DISTANCE
from smart_tuner.mlflow_mirror import projection
from smart_tuner.overview import overviews
from smart_tuner.pages.facts import facts_of
from smart_tuner.pages.report_text import summary
from smart_tuner.store.attributes import Attr
from smart_tuner.store.storage import open_storage
from smart_tuner.terminal.summary import print_best, print_trials
from trainer.objectives import OBJECTIVES

WORSE = {"optimizer.lr": 4e-3, "guided_attention.enabled": True}
STUDY = {"enqueue": [WORSE, GUIDED], "replicates": {"top": 1, "seeds": 2}}


def test_the_best_setting_is_trained_again_with_other_seeds(lab: Lab, said: io.StringIO) -> None:
    lab.define(**STUDY)
    result = lab.tuner(jobs=2).optimize(2)
    trials = lab.study().trials
    original, other = (0, 1) if trials[0].params == GUIDED else (1, 0)  # the two began at once
    assert [trial.user_attrs.get(Attr.REPLICATE_OF) for trial in trials] == [None, None, original, original]
    assert [trial.params for trial in (trials[other], trials[original], *trials[2:])] == [WORSE, GUIDED, GUIDED, GUIDED]
    with_seeds = (original, 2, 3)
    seeds = {json.loads(lab.run_dir(number).config.read_text(encoding="utf-8"))["seed"] for number in with_seeds}
    assert len(seeds) == 3
    assert result.best is not None
    sure = result.best.certainty
    assert sure is not None
    assert (result.best.trial, sure.trials, sure.spread, sure.second) == (original, with_seeds, 0.0, other)
    assert sure.mean == pytest.approx(trials[original].value)
    assert sure.lead == pytest.approx(trials[other].value - trials[original].value)
    assert f"trial 2 started as a replicate of trial {original}: guided_attention.enabled=true" in said.getvalue()
    assert f"trial 3 COMPLETE, replicate of trial {original} (heard: " in said.getvalue()
    assert lab.tuner().is_finished(2), "the same command has nothing left to do"
    shown(lab, said, original, other)


def shown(lab: Lab, said: io.StringIO, original: int, other: int) -> None:
    """What the commands and the pages show of the study above."""
    tuner, study = lab.tuner(), lab.study()
    said.truncate(0)
    best = tuner.result().best
    assert best is not None
    print_best(best, lab.console, tuner.spec)
    assert f"was trained with 3 seeds (trials {original}, 2, 3): distance to the recordings" in said.getvalue()
    assert f"on average, standard deviation 0.00 dB. Its lead over trial {other}, " in said.getvalue()
    print_trials(tuner.stored().view(), lab.console)
    assert "lab: 2 of 2 trials finished, 0 running, 2 replicates finished" in said.getvalue()
    assert said.getvalue().count(f"replicate of trial {original}") == 2
    (found,) = overviews(open_storage(lab.url))
    assert (found.state, found.finished, found.replicates) == ("finished", 2, 2)
    text = " ".join(summary(facts_of(study, lab.workspace)))
    assert "2 of 2 trials finished: 2 complete. 2 replicates of the best settings, with other seeds." in text
    assert best.certainty is not None
    assert best.certainty.in_words(DISTANCE) in text
    tags = projection.tags(study.trials[3], OBJECTIVES["free_running_distance"])
    assert tags["replicate_of"] == str(original)
    assert "replicate_of" not in projection.tags(study.trials[original], OBJECTIVES["free_running_distance"])


def test_a_replicate_is_trained_to_its_end_whatever_the_pruner_says(lab: Lab) -> None:
    lab.define(**STUDY, pruner={"kind": "promotion", "rungs": [0.25, 0.5], "eta": 2})
    lab.tuner().optimize(2)
    replicates = [trial for trial in lab.study().trials if Attr.REPLICATE_OF in trial.user_attrs]
    assert [(trial.state.name, Attr.PROMOTED in trial.user_attrs) for trial in replicates] == [("COMPLETE", False)] * 2


def test_replicates_wait_for_time_as_other_trials_do(lab: Lab, said: io.StringIO) -> None:
    lab.define(**STUDY)
    lab.tuner().optimize(2, frames=2000)
    assert "has ended after 2 of 2 trials and before 2 replicates, because its trials have trained" in said.getvalue()
    view = lab.tuner().stored().view()
    assert view.notice.startswith("its trials have trained")
    assert not lab.tuner().is_finished()
    lab.tuner().optimize(2, frames=10_000)
    assert lab.states() == ["COMPLETE"] * 4


def test_without_replicates_the_best_says_that_it_has_one_seed(lab: Lab) -> None:
    lab.define(enqueue=[WORSE, GUIDED])
    best = lab.tuner().optimize(2).best
    assert best is not None
    assert best.certainty is not None
    sentence = best.certainty.in_words(DISTANCE)
    assert sentence.startswith("Its setting was trained with one seed. Its lead over trial 0, 0.")
    assert best.certainty.noise == pytest.approx(0.02 * best.certainty.mean)

"""The table of figures, from which all displays take words, units and digits."""

import pytest

from smart_tuner.figures import DISTANCE, EVALUATION, SENTENCE, Figure, label, missed, objective


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mcd", "mcd, dB"),
        ("hum_mcd", "hum mcd, dB"),
        ("alignment", "alignment"),
        ("alignment_share_good", "alignment share good"),
        ("a_later_mcd", "a later mcd"),
    ],
)
def test_a_figure_has_the_unit_of_the_table_and_one_that_is_not_there_has_none(name: str, words: str) -> None:
    assert label(name) == words


def test_no_two_figures_have_one_name_or_the_same_words() -> None:
    table = {*EVALUATION, *SENTENCE}
    assert len({figure.name for figure in table}) == len({figure.words for figure in table}) == len(table)


def test_an_objective_of_a_later_version_has_its_name_alone() -> None:
    assert objective(DISTANCE.name) is DISTANCE
    assert objective("free_running_beauty") == Figure(
        "free_running_beauty", "free_running_beauty", "free_running_beauty", ".4g"
    )


def test_missed_constraints_have_one_order_and_one_of_a_later_version_has_its_name() -> None:
    stored = {"beauty": 0.1, "memory": 1.0, "failed": 0.2, "free_running_alignment": 0.0, "alignment": 0.3}
    assert missed(stored) == (
        "teacher-forced alignment too low, too many sentences fail, the parameters do not fit into the memory, beauty"
    )
    assert missed({"alignment": -0.4, "failed": 0.0}) == ""

"""A result that ends below its alignment says so."""

import pytest
from small_pairs import make_small_pair, write_preset, write_weights

from SACBRegistrationLib import register
from SACBRegistrationLib.registration.worsening import worsening_notes


def test_what_got_better_or_stayed_is_not_mentioned():
    assert worsening_notes({"aligned": 0.4, "after": 0.6}, None) == []
    assert worsening_notes({"aligned": 0.4, "after": 0.3995}, {"mean_aligned": 0.5, "mean_after": 0.5}) == []


def test_each_measure_that_fell_is_named():
    (note,) = worsening_notes({"aligned": 0.4, "after": 0.3}, {"mean_aligned": 0.5, "mean_after": 0.7})
    assert "similarity" in note and "0.400" in note and "0.300" in note
    (note,) = worsening_notes({"aligned": 0.4, "after": 0.5}, {"mean_aligned": 0.52, "mean_after": 0.5})
    assert "mean Dice" in note and "0.520" in note


@pytest.fixture(scope="module")
def pair():
    return make_small_pair()


@pytest.mark.parametrize("weights", ["random", "none"])
def test_random_weights_make_it_worse_and_refinement_does_not(pair, tmp_path, weights):
    preset = write_preset(tmp_path)
    chosen = write_weights(tmp_path) if weights == "random" else "none"
    result = register(
        pair.fixed, pair.moving, preset=preset, weights=chosen, refine=0 if weights == "random" else 20,
        alignment="rigid", fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels, device="cpu",
    )  # fmt: skip
    notes = " ".join(result.report["notes"])
    assert ("made the mean Dice worse" in notes) == (weights == "random"), notes

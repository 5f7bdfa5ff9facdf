"""Settings that contradict each other are refused, and what None stands for."""

from dataclasses import replace

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.checked_settings import (
    check_modality,
    check_settings,
    cluster_numbers,
    refinement_steps,
    weights_file,
)
from SACBRegistrationLib.registration.refining import refinement_spacings
from SACBRegistrationLib.settings import RegistrationSettings


def test_weights_of_another_modality_are_refused():
    check_modality({"preset": "ixi"}, load_preset("lpba"))
    check_modality({}, load_preset("abdomen-ct"))
    check_modality({"preset": "a preset of one's own"}, load_preset("abdomen-ct"))
    with pytest.raises(UserError, match="trained on MR images and the preset abdomen-ct is for CT"):
        check_modality({"preset": "ixi"}, load_preset("abdomen-ct"))


def test_refinement_is_on_without_a_network_and_after_one_where_the_preset_says_so():
    brain, abdomen = load_preset("ixi"), load_preset("abdomen-ct")
    assert weights_file(RegistrationSettings(), brain).name == "brain.pt"
    assert refinement_steps(RegistrationSettings(), brain) == 0
    assert refinement_steps(RegistrationSettings(weights="none"), brain) == brain.refine_steps
    assert weights_file(RegistrationSettings(), abdomen).name == "abdomen.pt"
    assert refinement_steps(RegistrationSettings(), abdomen) == abdomen.refine_steps
    assert refinement_steps(RegistrationSettings(), replace(abdomen, refine_network=False)) == 0
    assert refinement_steps(RegistrationSettings(refine=0), abdomen) == 0


def test_clusters_for_all_levels_or_for_each():
    preset = load_preset("ixi")
    assert cluster_numbers(RegistrationSettings(), preset) == {5: 7, 4: 7, 3: 7, 2: 7}
    assert cluster_numbers(RegistrationSettings(clusters=4), preset) == {5: 4, 4: 4, 3: 4, 2: 4}
    with pytest.raises(UserError, match="each of the levels"):
        cluster_numbers(RegistrationSettings(clusters={5: 3}), preset)
    with pytest.raises(UserError, match="from 2 to 32, not 40"):
        cluster_numbers(RegistrationSettings(clusters={5: 40, 4: 3, 3: 3, 2: 3}), preset)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"similarity": "ssd"}, 'similarity "ssd" is unknown; choose one of auto, ncc, mind'),
        ({"smoothness": 0.0}, "smoothness must be between 0.05 and 20, not 0"),
        ({"smoothness": float("nan")}, "smoothness must be between"),
        ({"refine_spacing": 0.01}, "refinement spacing must be between 0.1 and 50 mm"),
    ],
)
def test_choices_of_the_refinement_are_checked(choice, sentence):
    check_settings(RegistrationSettings())
    with pytest.raises(UserError, match=sentence):
        check_settings(RegistrationSettings(**choice))


def test_refinement_goes_down_to_the_spacing_that_is_asked_for():
    preset = load_preset("abdomen-ct")
    assert refinement_spacings(RegistrationSettings(), preset, after_network=True) == (6.0, 3.0)
    assert refinement_spacings(RegistrationSettings(), preset, after_network=False) == (12.0, 6.0, 3.0)
    fine = RegistrationSettings(refine_spacing=1.7)
    assert refinement_spacings(fine, preset, after_network=True) == pytest.approx((6.8, 3.4, 1.7))
    assert refinement_spacings(RegistrationSettings(refine_spacing=9.0), preset, after_network=True) == (9.0,)

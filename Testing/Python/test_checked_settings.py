"""Settings that contradict each other are refused, and what None stands for."""

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.checked_settings import (
    check_modality,
    cluster_numbers,
    refinement_steps,
    weights_file,
)
from SACBRegistrationLib.settings import RegistrationSettings


def test_weights_of_another_modality_are_refused():
    check_modality({"preset": "ixi"}, load_preset("lpba"))
    check_modality({}, load_preset("abdomen-ct"))
    check_modality({"preset": "a preset of one's own"}, load_preset("abdomen-ct"))
    with pytest.raises(UserError, match="trained on MR images and the preset abdomen-ct is for CT"):
        check_modality({"preset": "ixi"}, load_preset("abdomen-ct"))


def test_refinement_is_off_after_a_network_and_on_without():
    brain, abdomen = load_preset("ixi"), load_preset("abdomen-ct")
    assert weights_file(RegistrationSettings(), brain).name == "brain.pt"
    assert refinement_steps(RegistrationSettings(), brain) == 0
    assert refinement_steps(RegistrationSettings(weights="none"), brain) == brain.refine_steps
    assert refinement_steps(RegistrationSettings(), abdomen) == abdomen.refine_steps
    assert refinement_steps(RegistrationSettings(refine=0), abdomen) == 0


def test_clusters_for_all_levels_or_for_each():
    preset = load_preset("ixi")
    assert cluster_numbers(RegistrationSettings(), preset) == {5: 7, 4: 7, 3: 7, 2: 7}
    assert cluster_numbers(RegistrationSettings(clusters=4), preset) == {5: 4, 4: 4, 3: 4, 2: 4}
    with pytest.raises(UserError, match="each of the levels"):
        cluster_numbers(RegistrationSettings(clusters={5: 3}), preset)
    with pytest.raises(UserError, match="from 2 to 32, not 40"):
        cluster_numbers(RegistrationSettings(clusters={5: 40, 4: 3, 3: 3, 2: 3}), preset)

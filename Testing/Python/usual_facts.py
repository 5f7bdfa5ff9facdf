"""Facts about a result that nothing speaks against."""

from SACBRegistrationLib.registration.run_facts import RunFacts

USUAL = RunFacts(
    similarity_before=0.1,
    similarity_aligned=0.4,
    similarity_after=0.9,
    seen=1.0,
    foreground_dice=0.97,
    folding_percent=0.0,
    volume_p01=0.4,
    volume_p99=2.2,
    deformation_p99_mm=8.0,
    bending_mean_mm=2.0,
    bending_p99_mm=7.0,
    leftover_mm=1.5,
    anatomy_mm=175.0,
    stretch_least=0.95,
    stretch_most=1.05,
    mirrored=False,
    mirrored_gain=-0.3,
    inverse_residual_mm=0.01,
)

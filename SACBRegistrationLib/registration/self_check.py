"""Decides from measured facts whether a result can be used, needs a look, or went wrong.

A displacement field's error cannot be measured without a truth, but what goes wrong leaves traces: images
that stay unlike each other, a deformation that does the alignment's work, tissue that is folded or squeezed.
The limits are calibrated on scans whose true transform is known; docs/reliability.md says how and how well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from SACBRegistrationLib.registration.run_facts import RunFacts

GOOD, LOOK, FAILED = "good", "look at this", "failed"
"""Verdicts."""


@dataclass(frozen=True)
class Limits:
    """Where the verdict changes; every pair is the limit of "good" and that of "look at this".

    Attributes:
        similarity: Least local NCC after everything.
        clear_similarity: From this local NCC on, much bending is believed.
        bending: Largest mean of the deformation beyond an affine map, as a part of the anatomy's length.
        leftover: From this part of the anatomy's length on, the deformation did the alignment's work.
        bending_with_leftover: Largest mean of the deformation, likewise, where it did.
        folding_percent: Largest part of the anatomy that folds.
        least_dice: Least Dice of the two anatomies.
        stretch: Largest factor by which the alignment changes a length, either way.
        inverse_residual_mm: Largest error of the way back.
        least_seen: Least part of the fixed anatomy that the moving volume holds.
        mirrored_gain: Largest gain of the alignment from mirroring the moving image.
        least_gain: A smaller change of local NCC is none.
    """

    similarity: tuple[float, float] = (0.55, 0.25)
    clear_similarity: float = 0.97
    bending: tuple[float, float] = (0.03, 0.1)
    leftover: float = 0.03
    bending_with_leftover: float = 0.02
    folding_percent: tuple[float, float] = (0.5, 5.0)
    least_dice: tuple[float, float] = (0.85, 0.5)
    stretch: tuple[float, float] = (1.35, 2.0)
    inverse_residual_mm: tuple[float, float] = (1.0, 10.0)
    least_seen: float = 0.5
    mirrored_gain: float = 0.04
    least_gain: float = 0.002


CT = Limits(bending=(0.0135, 0.1), bending_with_leftover=0.0135)
"""Limits for CT, whose anatomy is the whole width of the body: the same bending is a smaller part of it.

Of copies of one abdomen, those right within 4 mm bend by 1.2 % of its length at most, those wrong by more
than 5 mm by 1.6 % at least.
"""


def limits_for(modality: str) -> Limits:
    """Returns the limits for images of a preset's modality, "mr" or "ct"."""
    return CT if modality == "ct" else Limits()


@dataclass(frozen=True)
class SelfCheck:
    """What the check decides.

    Attributes:
        verdict: "good", "look at this" or "failed".
        reasons: A short sentence for everything that speaks against "good", the worst first; one that says
            what speaks for it when nothing does.
    """

    verdict: str
    reasons: tuple[str, ...]


def self_check(facts: RunFacts, limits: Limits = Limits()) -> SelfCheck:
    """Judges a result by its facts alone."""
    found = list(_found(facts, limits))
    for verdict in (FAILED, LOOK):
        if any(how == verdict for how, _ in found):
            worst_first = sorted(found, key=lambda entry: entry[0] != FAILED)
            return SelfCheck(verdict, tuple(reason for _, reason in worst_first))
    return SelfCheck(
        GOOD,
        (
            f"The similarity rose from {facts.similarity_before:.2f} to {facts.similarity_after:.2f}, and "
            "nothing speaks against the result.",
        ),
    )


def _found(facts: RunFacts, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yields a verdict and a sentence for everything that speaks against "good"."""
    after, part = facts.similarity_after, facts.bending_mean_mm / facts.anatomy_mm
    if verdict := _below(after, limits.similarity):
        yield verdict, f"The images agree little after the registration (similarity {after:.2f} of 1)."
    if after < facts.similarity_before + limits.least_gain and after < limits.clear_similarity:
        yield LOOK, "The registration did not make the images more similar."
    if after < facts.similarity_aligned - limits.least_gain:
        yield LOOK, "The deformation made the images less similar than the alignment had left them."
    verdict, bent = _above(part, limits.bending), facts.bending_p99_mm
    believed = after >= limits.clear_similarity
    leftover = facts.leftover_mm / facts.anatomy_mm
    if verdict == FAILED or (verdict and not believed):
        yield verdict, f"The deformation bends tissue by up to {bent:.0f} mm, more than is likely."
    elif leftover > limits.leftover and part > limits.bending_with_leftover and not believed:
        off = facts.leftover_mm
        yield LOOK, f"The deformation shifts the anatomy by {off:.0f} mm and bends it by up to {bent:.0f} mm."
    if verdict := _below(facts.foreground_dice, limits.least_dice):
        dice = facts.foreground_dice
        yield verdict, f"The outlines fit badly: the anatomies overlap with a Dice of {dice:.2f}."
    if verdict := _above(facts.folding_percent, limits.folding_percent):
        yield verdict, f"The deformation folds in {facts.folding_percent:.1f} % of the anatomy."
    if verdict := _above(facts.inverse_residual_mm, limits.inverse_residual_mm):
        missed = facts.inverse_residual_mm
        yield verdict, f"The transform cannot be undone everywhere: the way back misses by {missed:.0f} mm."
    if facts.mirrored:
        yield LOOK, "The alignment mirrors the moving image, so that left and right are swapped."
    if facts.mirrored_gain is not None and facts.mirrored_gain > limits.mirrored_gain:
        yield LOOK, "The moving image fits better when mirrored: left and right may be swapped in one image."
    stretch = max(facts.stretch_most, 1 / facts.stretch_least)
    if verdict := _above(stretch, limits.stretch):
        yield verdict, f"The alignment changes lengths by a factor of {stretch:.1f}."
    if facts.seen < limits.least_seen:
        shown = 100 * facts.seen
        yield LOOK, f"The moving image shows only {shown:.0f} % of the fixed anatomy; the rest is a guess."


def _below(value: float, limits: tuple[float, float]) -> str | None:
    return None if value >= limits[0] else LOOK if value >= limits[1] else FAILED


def _above(value: float, limits: tuple[float, float]) -> str | None:
    return None if value <= limits[0] else LOOK if value <= limits[1] else FAILED

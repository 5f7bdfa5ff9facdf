"""Says when a deformation made things worse than the alignment before it."""

from collections.abc import Mapping

# Differences below are rounding and interpolation.
_LEAST_LOSS = 0.002


def worsening_notes(local_ncc: Mapping[str, float], dice: Mapping | None) -> list[str]:
    """Returns one sentence for every measure that ended below the alignment's, with what to do.

    Args:
        local_ncc: Local NCC "aligned" and "after".
        dice: "mean_aligned" and "mean_after", or None without label maps.
    """
    measures = {"similarity (local NCC)": (local_ncc["aligned"], local_ncc["after"])}
    if dice is not None:
        measures["mean Dice"] = (dice["mean_aligned"], dice["mean_after"])
    return [
        f"The deformation made the {name} worse, from {before:.3f} after the alignment to {after:.3f}: look "
        "at the result, and if it is wrong refine it, try other weights, or use the alignment alone."
        for name, (before, after) in measures.items()
        if after < before - _LEAST_LOSS
    ]

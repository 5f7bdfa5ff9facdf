"""Passes of the network in both directions, repeated on what the ones before have warped."""

from collections.abc import Callable
from dataclasses import replace

import torch

from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.network.sacb_net import SACBNetResult

_INVERSE_STEPS = 8
_SQUARINGS = 4

Network = Callable[[torch.Tensor, torch.Tensor], SACBNetResult]


def symmetric_passes(
    network: Network, moving: torch.Tensor, fixed: torch.Tensor, passes: int
) -> SACBNetResult:
    """Registers in both directions, averages, warps with the result, and does so again.

    With f_k the flow of network(moving o phi_k, fixed) and b_k that of network(fixed, moving o phi_k),

        s_k = (f_k + b_k^-1) / 2,    phi_{k+1} = phi_k o (id + s_k),    phi_0 = id.

    What a network gets wrong alike in both directions, as it does when real images look different from those
    it was trained on, cancels in s_k. Only then does a further pass gain: without the backward one it adds
    the same error once more.

    Args:
        network: Takes (moving, fixed).
        moving: [B, 1, D, H, W].
        fixed: Same shape.
        passes: Rounds of two runs of the network; 0 runs it once, forward only, as published.

    Returns:
        The result of the first forward run, whose clusters are those of the images as given, with the
        displacement of all passes, [B, 3, D, H, W] in voxels.

    Raises:
        ValueError: When the number is negative.
    """
    if passes < 0:
        raise ValueError(f"passes must be 0 or more, not {passes}")
    if passes == 0:
        return network(moving, fixed)
    first = displacement = None
    for _ in range(passes):
        warped = moving if displacement is None else warp(moving, displacement)
        forward = network(warped, fixed)
        first = forward if first is None else first
        flow = forward.displacement.float()
        del forward
        backward = network(fixed, warped).displacement.float()
        step = flow.add(inverse_flow(backward)).mul_(0.5)
        displacement = step if displacement is None else sample_flow(displacement, step).add_(step)
    return replace(first, displacement=displacement)


def inverse_flow(flow: torch.Tensor) -> torch.Tensor:
    """Returns the flow of the inverse map, which does not fold where the flow itself does.

    By way of the stationary velocity v whose flow over unit time is about u: halfway a point moves with u(x)
    at x + u(x) / 2, so that v = u o (id + u / 2)^-1, and the inverse is exp(-v), by scaling and squaring.
    Fixed-point steps for v(x) = -u(x + v(x)) are more exact where u is a contraction, but where it is none,
    which an abdomen's flow is not, they tear the inverse apart. Halved, u is one far longer.

    Args:
        flow: u, [B, 3, D, H, W] in voxels, channels (d, h, w).
    """
    half = flow * 0.5
    origin = half.neg()
    # A number of steps, as a test for convergence would make a GPU wait.
    for _ in range(_INVERSE_STEPS):
        origin = sample_flow(half, origin).neg_()
    inverse = sample_flow(flow, origin).mul_(-(0.5**_SQUARINGS))
    for _ in range(_SQUARINGS):
        inverse = sample_flow(inverse, inverse).add_(inverse)
    return inverse


def sample_flow(flow: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Samples a flow at identity + where; beyond the edge it goes on as it is there.

    Args:
        flow: [B, 3, D, H, W] in voxels.
        where: Same shape.
    """
    within = torch.empty_like(where)
    for axis, side in enumerate(flow.shape[2:]):
        shape = [1, 1, 1]
        shape[axis] = side
        index = torch.arange(side, device=flow.device, dtype=flow.dtype).view(shape)
        torch.sub((where[:, axis] + index).clamp_(0, side - 1), index, out=within[:, axis])
    return warp(flow, within)

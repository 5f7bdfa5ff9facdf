"""What can be compared: this project's ways to register a pair, and the other programs."""

from collections.abc import Iterable
from dataclasses import dataclass

from SACBRegistrationLib.errors import UserError


@dataclass(frozen=True)
class Method:
    """One way to register a pair.

    Attributes:
        name: As given on the command line and shown in tables.
        title: What is run, in a few words.
        peer: Module of SACBRegistrationLib.comparison.peers that runs it; None for this project's own.
        imports: Module that the program comes as; None for this project's own.
        distribution: Name of its package on PyPI; None for this project's own.
        requirement: What pip installs.
        network: Whether a network of ours runs.
        refined: Whether the pair is refined.
        own_labels: Whether the program has a label interpolation of its own.
    """

    name: str
    title: str
    peer: str | None = None
    imports: str | None = None
    distribution: str | None = None
    requirement: str | None = None
    network: bool = False
    refined: bool = False
    own_labels: bool = False


METHODS = {
    method.name: method
    for method in (
        Method("affine", "our affine alignment alone"),
        Method("network", "alignment and network", network=True),
        Method("refined", "alignment, network and refinement", network=True, refined=True),
        Method("refine only", "alignment and refinement without a network", refined=True),
        Method("syn", "ANTs SyN, its defaults", "syn", "ants", "antspyx", "antspyx==0.6.3", own_labels=True),
        Method(
            "greedy",
            "greedy, affine and deformable with NCC",
            "greedy",
            "picsl_greedy",
            "picsl-greedy",
            "picsl-greedy==1.4.0.3",
            own_labels=True,
        ),
        Method(
            "elastix",
            "elastix, default affine and B-spline maps",
            "elastix",
            "itk",
            "itk-elastix",
            "itk-elastix==0.25.4",
        ),
        Method(
            "convexadam",
            "convexAdam, MIND, after our affine alignment",
            "convexadam",
            "convexAdam",
            "convexadam",
            "convexadam==0.2.0",
        ),
    )
}
"""Every method by its name, in the order of the tables."""


def chosen_methods(names: Iterable[str]) -> list[Method]:
    """Returns methods by their names, each once, in the order of the tables.

    Raises:
        UserError: When there is no such method.
    """
    wanted = [name.lower().replace("_", " ").replace("-", " ") for name in names]
    for name in wanted:
        if name not in METHODS:
            raise UserError(f'There is no method "{name}"; choose among {", ".join(METHODS)}.')
    return [method for name, method in METHODS.items() if name in wanted]

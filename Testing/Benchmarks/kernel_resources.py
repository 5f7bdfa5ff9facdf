"""Compiles the Triton kernels for cards that need not be here, and prints what each variant takes of them.

    python Testing/Benchmarks/kernel_resources.py [--capability 7.5 8.0 9.0]

Needs Triton, no GPU: Triton brings NVIDIA's assembler. A variant that spills keeps in slow memory what does
not fit its registers; one that takes more shared memory than a multiprocessor lends cannot be launched. That
a kernel compiles says nothing of its results: those are tested in Triton's interpreter, or on a GPU.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))

CAPABILITIES = (75, 80, 86, 89, 90, 100, 120)
"""Turing, Ampere (A100, RTX 30), Ada (RTX 40), Hopper (H100, H200), Blackwell (B200, RTX 50)."""

LENT_BYTES = 48 * 1024
"""Shared memory that every card lends a kernel without being asked."""

_TYPES = {"float32": "fp32", "tf32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_WARP = 32


@dataclass(frozen=True)
class Resources:
    """What a variant of a kernel takes on one kind of card.

    Attributes:
        kernel: "adaptive convolution", "matching", "sums of clusters" or "centroids"; the last two are a step
            of Lloyd's, for the most clusters that a network may have.
        capability: Ten times the compute capability.
        channels: Of the features, or of the vectors that are clustered.
        precision: How their products are rounded.
        registers: Per thread, at most 255.
        spilled: Bytes per thread that did not fit the registers.
        shared: Bytes of shared memory.
    """

    kernel: str
    capability: int
    channels: int
    precision: str
    registers: int
    spilled: int
    shared: int


def compile_all(capabilities: tuple[int, ...], channels: tuple[int, ...]) -> Iterator[Resources]:
    """Compiles the kernels, those of the features in every precision; yields what they take.

    Args:
        capabilities: Ten times the compute capabilities.
        channels: Numbers of channels of the features.

    Raises:
        ImportError: When Triton is not installed.
    """
    from SACBRegistrationLib.network.spatial_awareness import context_width

    for capability in capabilities:
        for count in channels:
            for width in (count, context_width(count, "mixed")):
                for kernel in ("sums of clusters", "centroids"):
                    yield _compile(kernel, capability, width, "float32")
            for precision in _TYPES:
                # Cards before Ampere have neither type.
                if capability >= 80 or precision in ("float32", "float16"):
                    yield _compile("adaptive convolution", capability, count, precision)
                    # Matching multiplies in float32 whatever the features are.
                    if precision != "tf32":
                        yield _compile("matching", capability, count, precision)


def _compile(kernel: str, capability: int, channels: int, precision: str) -> Resources:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function, constants, warps = _variant(kernel, channels, precision)
    signature = {name: _kind(name, constants, _TYPES[precision]) for name in function.arg_names}
    compiled = triton.compile(
        ASTSource(fn=function, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", capability, _WARP),
        options={"num_warps": warps},
    )
    usage = _usage(compiled.asm["cubin"])
    return Resources(
        kernel, capability, channels, precision, usage["REG"], usage["STACK"], compiled.metadata.shared
    )


def _variant(kernel: str, channels: int, precision: str) -> tuple[object, dict[str, object], int]:
    """Returns a kernel's function, the sizes that it is compiled for, and its number of warps."""
    from SACBRegistrationLib.network import triton_kernels, triton_lloyd
    from SACBRegistrationLib.network.sacb_net import MOST_CLUSTERS

    if kernel == "matching":
        constants, warps = triton_kernels.match_variant(channels)
        return triton_kernels._match, {**constants, "window": 3, "wide": False}, warps
    if kernel == "adaptive convolution":
        constants, warps = triton_kernels.convolution_variant(channels, channels)
        return triton_kernels._convolve, {**constants, "tf32": precision == "tf32", "wide": False}, warps
    constants, warps = triton_lloyd.lloyd_variant(MOST_CLUSTERS, channels)
    if kernel == "sums of clusters":
        return triton_lloyd._sum_members, {**constants, "rounds": triton_lloyd._ROUNDS}, warps
    shared = {name: constants[name] for name in ("clusters", "channels", "block_c")}
    return triton_lloyd._move_centroids, {**shared, "block_p": triton_lloyd._PARTS}, warps


def _kind(name: str, constants: Mapping[str, object], features: str) -> str:
    if name in constants:
        return "constexpr"
    kinds = {"gates": "*fp32", "biases": "*fp32", "labels": "*i64", "tolerance": "fp32"}
    kinds |= dict.fromkeys(("vectors", "centroids", "changes", "sums", "counts"), "*fp32")
    kinds |= dict.fromkeys(("still", "steps"), "*i32")
    if "window" in constants:
        kinds["output"] = "*fp32"
    tensors = ("features", "weight", "output", "moving", "fixed")
    return kinds.get(name, f"*{features}" if name in tensors else "i32")


def _usage(binary: bytes) -> dict[str, int]:
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(binary)
        done = subprocess.run([tool, "-res-usage", file], check=True, capture_output=True, text=True)
    return {name: int(value) for name, value in re.findall(r"(REG|STACK):(\d+)", done.stdout)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capability", type=float, nargs="+", default=[c / 10 for c in CAPABILITIES])
    capabilities = tuple(round(10 * value) for value in parser.parse_args().capability)
    try:
        import triton
    except ImportError:
        print("Triton is not installed; install it with pip install triton.", file=sys.stderr)
        return 2
    from SACBRegistrationLib.network.encoder import CHANNELS

    print(f"Triton {triton.__version__}\n")
    print("| kernel | capability | channels | products | registers | spilled bytes | shared KiB |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for found in compile_all(capabilities, tuple(sorted(set(CHANNELS.values())))):
        print(
            f"| {found.kernel} | {found.capability / 10:.1f} | {found.channels} | {found.precision} "
            f"| {found.registers} | {found.spilled} | {found.shared / 1024:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

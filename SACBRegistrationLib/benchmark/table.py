"""The benchmark's outcome as one table, for a terminal or a Markdown file."""

from SACBRegistrationLib import text_table
from SACBRegistrationLib.benchmark.program import PUBLISHED

HEADER = ("what", "device", "best s", "median s", "runs", "times faster", "peak MB", "share of memory")
# Stages that took less were not asked for.
_LEAST_SECONDS = 0.0005


def rows(outcome: dict) -> list[tuple[str, ...]]:
    """Returns the texts of the table's rows, without its header.

    Args:
        outcome: What `run_benchmark` returns.
    """
    size = "x".join(map(str, outcome["circumstances"]["size"]))
    lines = []
    for found in outcome["passes"]:
        memory = found["gpu_memory_bytes"] or found["peak_memory_bytes"]
        faster, share = found["times_faster"], found["share_of_memory"]
        lines.append(
            (
                f"{found['what']}, {size}",
                found["device_name"],
                *_times(found),
                "" if faster is None else f"{faster:.1f}",
                _megabytes(memory),
                "" if share is None else f"{100 * share:.0f} %",
            )
        )
    for found in outcome["registrations"]:
        whole = (f"register, {found['what']}", found["device_name"], *_times(found), "")
        lines.append((*whole, _megabytes(found["peak_memory_bytes"]), ""))
        for stage, seconds in found["stages"].items():
            if seconds["median_seconds"] >= _LEAST_SECONDS:
                lines.append((f"- {stage}", "", *_times(seconds), "", "", ""))
    return lines


def plain_text(outcome: dict) -> str:
    """Returns the table and its circumstances for a terminal."""
    return "\n".join([*text_table.aligned([HEADER, *rows(outcome)]), "", *notes(outcome)])


def markdown(outcome: dict) -> str:
    """Returns the same in Markdown."""
    return "\n".join(["  \n".join(notes(outcome)), "", *text_table.markdown([HEADER, *rows(outcome)])])


def notes(outcome: dict) -> list[str]:
    """Returns sentences on where the benchmark ran and what the network's result is compared with."""
    where = outcome["circumstances"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    load = where["load_before"]
    lines = [
        f"{where['date']}, {where['processor']}, {where['cores']} cores, {where['gpu'] or 'no GPU'}, "
        f"{where['system']}; {where['threads']} threads"
        f"{'' if load is None else f', load {load:.1f} before'}. {versions}.",
        f"Pair: {where['pair']}; preset {where['preset']}, {where['weights']} weights, network at "
        f"{where['spacing_mm']:g} mm.",
    ]
    for found in outcome["passes"]:
        difference = found.get("difference_voxels")
        if difference:
            lines.append(
                f"With the {PUBLISHED}'s clusters the displacement on {found['device']} differs from its by "
                f"{difference['mean']:.1g} voxels in the mean, {difference['largest']:.1g} at most."
            )
    return lines


def _times(found: dict) -> tuple[str, str, str]:
    return (_seconds(found["best_seconds"]), _seconds(found["median_seconds"]), str(found["runs"]))


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.0f}"

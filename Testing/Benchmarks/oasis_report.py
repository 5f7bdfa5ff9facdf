"""What the OASIS benchmark measured, judged and put into a table."""

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
SECTION = "## Last run"
HEADER = (
    "pair", "method", "Dice", "- affine", "- SyN", "folding %", "reported", "seconds", "/ SyN", "process s",
)  # fmt: skip


def circumstances(rows: dict[str, dict], threads: int, steps: int, preset: str) -> dict:
    """Returns where, when and with what the benchmark ran."""
    from SACBRegistrationLib.presets import load_preset

    path = load_preset(preset).weights_path
    versions = {name: importlib.metadata.version(name) for name in ("torch", "SimpleITK", "numpy")}
    versions["Python"] = platform.python_version()
    syn = next((methods["SyN"] for methods in rows.values() if "SyN" in methods), None)
    if syn is not None:
        versions["antspyx"] = syn["version"]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": len(_usable_cores()),
        "system": platform.system(),
        "threads": threads,
        "preset": preset,
        "refine_steps": steps,
        "weights": hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path and path.is_file() else None,
        "commit": _commit(),
        "versions": versions,
        "highest_load_before_a_run": max((r["load_before"] or 0) for m in rows.values() for r in m.values()),
    }


def verdicts(rows: dict[str, dict], complete: bool) -> list[dict]:
    """Returns for each target whether it is met: True, False, or None where it could not be judged.

    Args:
        rows: Measurements by pair and method.
        complete: Whether all pairs were run; a part of them meets no target.
    """
    return [
        _verdict(rows, complete, "network alone", ("affine", "network"), _network_alone),
        _verdict(rows, complete, "network with refinement", ("SyN", "refined"), _refined),
    ]


def _verdict(rows: dict[str, dict], complete: bool, name: str, methods: tuple, judge) -> dict:
    if any(method not in found for found in rows.values() for method in methods):
        return {
            "name": name,
            "met": None,
            "text": f"needs {' and '.join(methods)} for every pair",
        }
    met, text = judge([[found[method] for method in methods] for found in rows.values()])
    if not complete:
        return {"name": name, "met": None, "text": f"{text} (not all pairs were run)"}
    return {"name": name, "met": met, "text": text}


def _network_alone(pairs: list[list[dict]]) -> tuple[bool, str]:
    gain = float(np.mean([network["dice"] - affine["dice"] for affine, network in pairs]))
    folding = max(network["folding_percent"] for _, network in pairs)
    text = (
        f"mean Dice {gain:+.3f} against the affine alignment (target +0.020), "
        f"folding at most {folding:.4f} % (target below 1 %)"
    )
    return gain >= 0.02 and folding < 1, text


def _refined(pairs: list[list[dict]]) -> tuple[bool, str]:
    gain = min(refined["dice"] - syn["dice"] for syn, refined in pairs)
    ratio = max(refined["seconds"] / syn["seconds"] for syn, refined in pairs)
    folding = max(refined["folding_percent"] for _, refined in pairs)
    text = (
        f"Dice at least {gain:+.3f} against SyN (target above 0 on every pair), at most {ratio:.2f} times "
        f"SyN's time (target below 1), folding at most {folding:.4f} % (target below 0.1 %)"
    )
    return gain > 0 and ratio < 1 and folding < 0.1, text


def table(rows: dict[str, dict]) -> list[tuple[str, ...]]:
    """Returns the header and one row of texts per pair and method, then the means over the pairs."""
    lines = [HEADER]
    for pair, found in [*rows.items(), *([("mean", _means(rows))] if len(rows) > 1 else [])]:
        for method, row in found.items():
            affine, syn = found.get("affine"), found.get("SyN")
            lines.append(
                (
                    pair,
                    method,
                    f"{row['dice']:.3f}",
                    f"{row['dice'] - affine['dice']:+.3f}" if affine else "",
                    f"{row['dice'] - syn['dice']:+.3f}" if syn else "",
                    f"{row['folding_percent']:.4f}",
                    f"{row['folding_reported']:.4f}" if "folding_reported" in row else "",
                    f"{row['seconds']:.1f}",
                    f"{row['seconds'] / syn['seconds']:.2f}" if syn else "",
                    f"{row['process_seconds']:.1f}",
                )
            )
    return lines


def _means(rows: dict[str, dict]) -> dict[str, dict]:
    names = ("dice", "folding_percent", "seconds", "process_seconds")
    first = next(iter(rows.values()))
    return {
        method: {name: float(np.mean([found[method][name] for found in rows.values()])) for name in names}
        for method in first
    }


def plain_text(outcome: dict) -> str:
    """Returns the table and the verdicts for a terminal."""
    lines = table(outcome["pairs"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([*text, "", *_verdict_lines(outcome)])


def rewrite_section(path: Path, outcome: dict) -> None:
    """Replaces everything below the heading "Last run" of a Markdown file, down to the next heading.

    Raises:
        ValueError: When the file has no such heading.
    """
    before, heading, after = path.read_text(encoding="utf-8").partition(SECTION + "\n")
    if not heading:
        raise ValueError(f"{path} has no heading {SECTION!r}")
    rest = after.find("\n## ")
    following = after[rest:] if rest >= 0 else ""
    path.write_text(f"{before}{heading}\n{_markdown(outcome)}\n{following}", encoding="utf-8")


def _markdown(outcome: dict) -> str:
    where = outcome["circumstances"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(where["versions"].items()))
    lines = table(outcome["pairs"])
    rules = tuple("---" if i < 2 else "---:" for i in range(len(HEADER)))
    cells = ["| " + " | ".join(line) + " |" for line in (lines[0], rules, *lines[1:])]
    return "\n".join(
        [
            f"{where['date']}, {where['processor']}, {where['cores']} cores, {where['system']}; "
            f"{where['threads']} threads; preset `{where['preset']}`, {where['refine_steps']} refinement "
            f"steps, weights {where['weights']}, commit {where['commit']}. {versions}. "
            f"Highest load before a run: {where['highest_load_before_a_run']:.1f}.",
            "",
            *cells,
            "",
            *(f"- {line}" for line in _verdict_lines(outcome)),
        ]
    )


def _verdict_lines(outcome: dict) -> list[str]:
    words = {True: "met", False: "MISSED", None: "not judged"}
    return [
        f"{verdict['name']}: {words[verdict['met']]}. {verdict['text']}" for verdict in outcome["verdicts"]
    ]


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> range | set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _commit() -> str:
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

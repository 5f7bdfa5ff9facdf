"""The figures of gpu.py as Markdown."""

from gpu_measures import ratio

TARGET_MS, TARGET_BYTES, TARGET_RATIO = 60, 1.5e9, 15


def markdown(outcome: dict) -> str:
    """Returns all figures as Markdown."""
    where, size = outcome["circumstances"], "x".join(map(str, outcome["size"]))
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    parts = [
        f"{where['date']}, {where['gpu'] or 'no GPU'}, {_gigabytes(where['gpu_memory'])} GB, CUDA "
        f"{where['cuda']}; {versions}; Triton kernels {'used' if outcome['triton'] else 'not used'}. "
        f"Forward pass at {size}, bundled phantom, bundled weights.",
    ]
    if outcome["tests"]:
        parts.append(f"Tests: {outcome['tests']['summary']}")
        if outcome["tests"]["failed"]:
            parts.append(f"```\n{outcome['tests']['end']}\n```")
    parts += [_forward(outcome["forward"]), _targets(outcome)]
    if outcome["registration"]:
        parts.append(_registration(outcome["registration"]))
    for precision, rows in outcome["operators"].items():
        lines = [(row["operator"], str(row["calls"]), f"{row['milliseconds']:.2f}") for row in rows]
        parts.append(_table((f"operator, {precision}", "calls", "ms"), lines))
    if outcome["failures"]:
        parts.append("Failed:\n\n" + "\n".join(f"- {failure}" for failure in outcome["failures"]))
    return "\n\n".join(parts) + "\n"


def _forward(rows: list[dict]) -> str:
    header = (
        "precision", "way", "Triton", "layout", "median ms", "best ms", "allocated GB", "reserved GB",
        "estimate GB", "phi, own clusters: mean", "largest", "same clusters: mean", "largest", "host waits",
    )  # fmt: skip
    lines = [
        (
            row["precision"],
            row["way"],
            "on" if row["triton"] else "off",
            row["layout"],
            f"{row['median_ms']:.1f}",
            f"{row['best_ms']:.1f}",
            _gigabytes(row["allocated"]),
            _gigabytes(row["reserved"]),
            _gigabytes(row["estimate"]),
            *(f"{row[f'{kind}_{what}']:.2g}" for kind in ("own", "same") for what in ("mean", "largest")),
            row["waits"] or "no",
        )
        for row in rows
    ]
    text = (
        "phi is compared with float32's as a whole, in voxels: with the clusters found in that precision, "
        "and with float32's."
    )
    return f"{_table(header, lines)}\n\n{text}"


def _targets(outcome: dict) -> str:
    """Returns a sentence for each target of the GPU path, by the best and by the float32 pass."""
    whole = [row for row in outcome["forward"] if row["way"] == "whole"]
    if not whole:
        return "No forward pass was measured."
    plain = [row for row in whole if row["precision"] == "float32"]
    lines = []
    for name, rows in (("float32", plain), ("any precision", whole)):
        if not rows:
            continue
        best = min(rows, key=lambda row: row["median_ms"])
        memory = f"{_gigabytes(best['allocated'])} GB"
        lines.append(
            f"- {name}: {best['median_ms']:.1f} ms ({best['precision']}; target {TARGET_MS} ms on an H200), "
            f"{memory} (target {TARGET_BYTES / 1e9:g} GB)"
        )
        if outcome["published"]:
            times = ratio(outcome["published"], best)
            lines[-1] += f", {times:.1f} times the published computation's speed (target {TARGET_RATIO})"
    if outcome["published"]:
        found = outcome["published"]
        lines.append(
            f"- published computation: {found['median_ms']:.0f} ms, {_gigabytes(found['allocated'])} GB"
        )
    waiting = [row for row in outcome["forward"] if row["waits"]]
    lines.append(f"- passes in which the host waited for the GPU: {len(waiting)}")
    return "\n".join(lines)


def _registration(found: dict) -> str:
    lines = [(stage, f"{seconds:.2f}") for stage, seconds in found["seconds"].items()]
    steps = ", ".join(map(str, found["refinement_steps"]))
    notes = "".join(f"\n- {note}" for note in found["notes"])
    run = found["network_run"]
    text = f"Refinement took {steps} steps; the network ran {run['full_resolution']} in {run['precision']}."
    return f"{_table(('stage of register', 's'), lines)}\n\n{text}{notes}"


def _table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rule = tuple("---" for _ in header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def _gigabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f}"

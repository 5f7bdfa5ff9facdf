"""What the panel says about a run, in words for people."""

from collections.abc import Mapping

from SACBRegistrationLib.ui.run_controller import RunController

# The sign says it without its colour, the word without the sign.
_SIGNS = {"good": "\N{HEAVY CHECK MARK}", "look at this": "\N{WARNING SIGN}", "failed": "\N{HEAVY BALLOT X}"}


def status_line(controller: RunController) -> str:
    """Returns the line below the progress bar."""
    if controller.cancelling:
        return "Cancelling ..."
    status = controller.status
    if controller.running and status is not None:
        parts = [_sentence(status.stage), f"{100 * status.fraction:.0f} %"]
        if status.seconds_left is not None:
            parts.append(time_left(status.seconds_left))
        return _join(" \N{MIDDLE DOT} ".join(part for part in parts if part), status.note)
    if controller.outcome == "failed":
        return controller.error or "The registration failed; see the log for the reason."
    if controller.outcome == "cancelled":
        return "Cancelled; the scene is as it was."
    if controller.outcome == "done":
        notes = controller.nodes.notes if controller.nodes is not None else ()
        return _join(f"Done in {duration(controller.seconds)}.", *notes)
    return ""


def self_check_line(report: Mapping[str, object]) -> str:
    """Returns what a run's self-check decided and why; empty when its report holds none."""
    check = report.get("self_check")
    if not check:
        return ""
    verdict = check["verdict"]
    return _join(f"{_SIGNS.get(verdict, '')} {_sentence(verdict)}:".lstrip(), *check["reasons"])


def time_left(seconds: float) -> str:
    """Returns "about 2 min left", rounded so that it does not flicker."""
    if seconds < 1:
        return "nearly done"
    if seconds < 10:
        return f"about {seconds:.0f} s left"
    if seconds < 60:
        return f"about {5 * round(seconds / 5)} s left"
    if seconds < 3600:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"


def duration(seconds: float) -> str:
    """Returns "12 s" or "2 min 5 s"."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _sentence(stage: str) -> str:
    return stage[:1].upper() + stage[1:]


def _join(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)

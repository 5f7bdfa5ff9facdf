"""The tables of a comparison: against greedy and SyN, and how Dice spreads over the pairs."""

from SACBRegistrationLib.comparison import table
from SACBRegistrationLib.comparison.spread import dice_by_pair


def measurement(dice: float, seconds: float, **more) -> dict:
    return {
        "dice": dice,
        "own_dice": None,
        "hd95": None,
        "folding_percent": 0.5,
        "seconds": seconds,
        "process_seconds": seconds + 1,
        "peak_memory_bytes": 2_000_000,
        **more,
    }


def test_table_compares_with_greedy_and_syn():
    pairs = {
        "a": {
            "affine": measurement(0.4, 5),
            "refined": measurement(0.7, 10),
            "syn": measurement(0.6, 40, own_dice=0.61),
            "greedy": measurement(0.65, 50),
        },
        "b": {
            "affine": measurement(0.5, 5),
            "refined": measurement(0.45, 20),
            "syn": measurement(0.5, 20, own_dice=0.51),
            "greedy": {"failure": "It failed."},
        },
    }
    means = table.means(pairs)
    assert {name: found["pairs"] for name, found in means.items()} == dict.fromkeys(means, 1)
    assert means["refined"]["dice"] == 0.7
    where = {"date": "d", "processor": "p", "cores": 2, "gpu": None, "system": "s", "versions": {}}
    settings = {
        "spacing": 2.0, "clip": [-1000.0, 1000.0], "threads": 1, "device": "cpu", "preset": "ixi",
        "weights": None, "refine": 60, "peers": {"greedy": "1"},
    }  # fmt: skip
    outcome = {"circumstances": where, "settings": settings, "absent": {}, "pairs": pairs}
    text = table.markdown(outcome)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert lines[0] == [
        "pair", "method", "pairs", "Dice", "own labels", "- greedy", "- SyN", "folding %", "seconds",
        "/ greedy", "/ SyN", "process s", "peak MB",
    ]  # fmt: skip
    assert lines[3] == [
        "a", "refined", "", "0.700", "", "+0.050", "+0.100", "0.5000", "10.0", "0.20", "0.25", "11.0", "2",
    ]  # fmt: skip
    assert lines[9][:4] == ["b", "greedy", "", "failed"]
    assert lines[11][:7] == ["mean", "refined", "1", "0.700", "", "+0.050", "+0.100"]
    assert "Below the affine alignment by refined: b." in text
    assert "at 2 mm and clipped to [-1000.0, 1000.0]" in text
    assert "b, greedy: It failed." in text
    assert "a  " in table.plain_text(outcome)


def test_dice_spreads_over_the_pairs():
    pairs = {
        "a": {"refined": measurement(0.7, 1), "syn": measurement(0.6, 1), "greedy": measurement(0.65, 1)},
        "b": {
            "refined": measurement(0.5, 1, folding_percent=0.75),
            "syn": measurement(0.52, 1),
            "greedy": {"failure": "It failed."},
        },
        "c": {"refined": measurement(0.63, 1), "syn": measurement(0.6, 1), "greedy": measurement(0.6, 1)},
    }
    found = {line[0]: line[1:] for line in dice_by_pair(pairs)}
    assert found["pair"] == ("refined", "syn", "greedy")
    assert found["b"] == ("0.500", "0.520", "")
    # By hand: (.7 + .5 + .63) / 3, and the root of the squared deviations' sum by 2.
    assert found["mean"] == ("0.610", "0.573", "")
    assert found["standard deviation"] == ("0.101", "0.046", "")
    assert found["smallest"][0] == "0.500" and found["largest"][0] == "0.700"
    assert found["smallest difference from SyN"] == ("-0.020", "", "")
    assert "smallest difference from greedy" not in found
    assert found["largest folding %"] == ("0.7500", "0.5000", "")

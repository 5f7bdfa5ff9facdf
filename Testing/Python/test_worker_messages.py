"""Jobs and messages: what goes in comes out, and what cannot be is refused."""

import dataclasses
import io
import json

import pytest
from oblique import oblique_grid

from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.arrays import ArrayFile
from SACBRegistrationLib.worker.job import Job, Structure, read_job, write_job
from SACBRegistrationLib.worker.messages import (
    DoneMessage,
    FailedMessage,
    LogMessage,
    MessageWriter,
    NoteMessage,
    ProgressMessage,
    UnusableResultError,
    WorkerResult,
    parse_message,
)
from SACBRegistrationLib.worker.remaining import RemainingTime
from SACBRegistrationLib.worker.tailing import Log, Tail

GRID = oblique_grid((7, 5, 4))


def scalar(name: str, dtype: str = "float32") -> ArrayFile:
    return ArrayFile(name, dtype, (4, 5, 7), GRID)


def vector(name: str) -> ArrayFile:
    return ArrayFile(name, "float32", (4, 5, 7, 3), GRID)


PAIR = {"fixed": scalar("f.raw"), "moving": scalar("m.raw")}


def result() -> WorkerResult:
    return WorkerResult(
        {
            "displacement_field": vector("u.raw"),
            "warped": scalar("w.raw", "int16"),
            "clusters_5_fixed": scalar("c.raw", "uint8"),
        },
        {"seconds": {"total": 3.5}, "notes": ["Überlappung"]},
        {
            "structures": {"Gyrus": {"dice": [0.5, 0.75], "hd95": [3.0, None], "assd": [1.0, 0.5]}},
            "points": {"F-1": [4.0, 0.25]},
        },
        {"warped": (-1024.0, 900.0)},
    )


def job(**changes) -> Job:
    images = {"fixed": scalar("f.raw"), "moving": scalar("m.raw", "int64"), "structure_0": scalar("s.raw")}
    given = {
        "settings": RegistrationSettings(clusters={5: 3, 4: 5, 3: 7, 2: 9}, field_spacing=2.5, seed=4),
        "images": images,
        "initial_affine": ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (3.0, -4.0, 5.5)),
        "structures": {"fixed": (Structure("Kern", "structure_0", 3),), "moving": ()},
        "points": {"fixed": {"F-1": (1.0, 2.0, 3.0)}, "moving": {"F-1": (1.5, 2.0, 3.0)}},
        "outputs": frozenset(("warped", "inverse")),
    }
    return Job(**(given | changes))


def test_a_job_comes_back_as_it_went(tmp_path):
    given = job()
    for image in given.images.values():
        (tmp_path / image.name).write_bytes(bytes(image.byte_count))
    write_job(given, tmp_path)
    assert read_job(tmp_path) == given
    (tmp_path / "s.raw").unlink()
    with pytest.raises(ValueError, match=r"s\.raw is missing"):
        read_job(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"fixed": scalar("f.raw")}},
        {"images": {"fixed": scalar("f.raw"), "moving": vector("m.raw")}},
        {"images": {"fixed": scalar("f.raw"), "moving": ArrayFile("m.raw", "uint8", (4, 5, 7))}},
        {"images": PAIR | {"other": scalar("o.raw")}},
        {"images": PAIR | {"initial_displacement": vector("i.raw")}},
        {"structures": {"fixed": (Structure("Kern", "structure_1", 3),)}},
        {"structures": {"third": ()}},
        {"points": {"third": {}}},
        {"outputs": frozenset(("everything",))},
    ],
)  # fmt: skip
def test_jobs_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(ValueError):
        job(**changes)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Job)])
@pytest.mark.parametrize("value", [3, "text", [1], {"x": 1}, True])
def test_jobs_of_other_shapes_are_refused(key, value):
    document = job().to_json()
    with pytest.raises(ValueError):
        Job.from_json(document | {key: value})


def lines_of(stream: io.BytesIO) -> list[bytes]:
    return stream.getvalue().splitlines()


def test_messages_come_back_as_they_went():
    stream = io.BytesIO()
    writer = MessageWriter(stream)
    writer.progress(0.25, "alignment")
    writer.log("WARNING", "zwei\nZeilen ü")
    writer.note("The GPU's memory was too small.")
    writer.failed("user", "Give another image.")
    writer.done(result())
    assert [parse_message(line) for line in lines_of(stream)] == [
        ProgressMessage(0.25, "alignment"),
        LogMessage("WARNING", "zwei\nZeilen ü"),
        NoteMessage("The GPU's memory was too small."),
        FailedMessage("user", "Give another image."),
        DoneMessage(result()),
    ]
    assert stream.getvalue().isascii()


def test_progress_is_passed_on_twenty_times_a_second():
    stream, now = io.BytesIO(), [0.0]
    writer = MessageWriter(stream, clock=lambda: now[0])
    for step in range(1000):
        now[0] = step / 1000
        writer.progress(step / 1000, "alignment" if step < 500 else "network")
    messages = [parse_message(line) for line in lines_of(stream)]
    assert 18 <= len(messages) <= 22
    assert messages[0].fraction == 0 and messages[-1].fraction > 0.9
    assert next(m.fraction for m in messages if m.stage == "network") == 0.5


@pytest.mark.parametrize(
    "line",
    [b"", b"hello", b"\xff\xfe\x00", b"[1]", b"null", b"{}", b'{"type": "news"}', b'{"type": ["done"]}',
     b'{"type": "progress"}', b'{"type": "progress", "fraction": NaN, "stage": "x"}',
     b'{"type": "progress", "fraction": "1", "stage": "x"}', b'{"type": "progress", "fraction": 1}',
     b'{"type": "log", "level": "INFO", "text": 3}', b'{"type": "note"}',
     b'{"type": "failed", "kind": "user", "message": " "}',
     b'{"type": "failed", "kind": "x", "message": "a"}',
     b"[" * 200_000],
)  # fmt: skip
def test_other_lines_are_no_messages(line):
    with pytest.raises(ValueError):
        parse_message(line)


def test_a_fraction_out_of_range_is_put_right():
    for told, expected in ((-3, 0.0), (1e300, 1.0)):
        line = json.dumps({"type": "progress", "fraction": told, "stage": "x" * 5000}).encode()
        assert parse_message(line).fraction == expected and len(parse_message(line).stage) == 200


def broken_results() -> list:
    def changed(path: tuple, value) -> dict:
        document = json.loads(json.dumps(result().to_json()))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return document

    return [
        None,
        {},
        changed(("images", "displacement_field"), None),
        changed(("images", "displacement_field"), scalar("u.raw").to_json()),
        changed(("images", "displacement_field", "dtype"), "int16"),
        changed(("images", "displacement_field", "grid"), {"size": [1, 1, 1]}),
        changed(("images", "displacement_field", "name"), "../../u.raw"),
        changed(("images", "warped", "name"), "U.raw"),
        changed(("images", "warped"), vector("w.raw").to_json()),
        changed(("images", "clusters_6_fixed"), scalar("d.raw", "uint8").to_json()),
        changed(("images", "clusters_5_fixed", "dtype"), "float32"),
        changed(("images", "photo"), scalar("d.raw").to_json()),
        changed(("report",), [1]),
        changed(("report",), None),
        changed(("ranges", "warped"), [1]),
        changed(("ranges", "other"), [1, 2]),
        changed(("quality", "structures", "Gyrus", "dice"), [0.5, "1"]),
        changed(("quality", "structures", "Gyrus", "hd95"), None),
        changed(("quality", "structures", "Gyrus", "more"), [1, 2]),
        changed(("quality", "points", "F-1"), 3),
        changed(("quality",), None),
        changed(("code",), "x"),
    ]


@pytest.mark.parametrize("document", broken_results())
def test_unusable_results_are_refused(document):
    assert WorkerResult.from_json(json.loads(json.dumps(result().to_json()))) == result()
    with pytest.raises(UnusableResultError):
        parse_message(json.dumps({"type": "done", "result": document}).encode())


def test_the_time_left_is_told_once_it_means_something():
    remaining = RemainingTime()
    remaining.update(0.0, 100.0)
    remaining.update(0.2, 101.0)
    assert remaining.left(101.0) is None, "one second is too short to tell"
    remaining.update(0.04, 104.0)
    assert remaining.left(104.0) is None, "it has begun anew"
    remaining.update(0.25, 114.0)
    assert remaining.left(114.0) == pytest.approx(30)
    assert remaining.left(124.0) == pytest.approx(20)
    assert remaining.left(500.0) == 0
    remaining.update(0.5, 124.0)
    assert remaining.left(124.0) == pytest.approx(20)


def test_a_tail_gives_whole_lines_only(tmp_path):
    path = tmp_path / "out"
    tail = Tail(path)
    assert tail.lines() == [] and not tail.is_behind()
    with open(path, "wb", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.lines() == [b"one"] and tail.rest() == b"tw"
        file.write(b"o\n\nthree")
        assert tail.is_behind()
        assert tail.lines() == [b"two", b""] and tail.rest() == b"three" and tail.position == 14


def test_a_log_keeps_its_end():
    log = Log()
    for number in range(200_000):
        log.add(f"line {number}")
    assert len(log.text) <= 1_000_100 and log.text.endswith("line 199999\n")
    assert log.text.splitlines()[0].startswith("[") and log.text.splitlines()[1].startswith("line ")

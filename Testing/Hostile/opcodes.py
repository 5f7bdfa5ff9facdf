"""Hostile pickle programs: calls of any function, claims of memory, and sound programs with changed steps."""

import pickle
import pickletools
import struct
from pathlib import Path

from Hostile.damage import WHOLE_NUMBERS, Random, pick

_HUGE = (10**8, 10**9, 2**31 - 1, 2**32 - 1)


def calls(marker: Path) -> list[bytes]:
    """Returns steps that leave one object, and that would make the file `marker` if they were obeyed."""
    text, shell = str(marker), f"touch {marker}"

    def line(module: str, name: str, *arguments: str) -> bytes:
        strings = "".join(f"V{argument}\n" for argument in arguments)
        return f"c{module}\n{name}\n({strings}tR".encode()

    def stack_global(module: str, name: str, *arguments: str) -> bytes:
        texts = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)]
        strings = "".join(f"V{argument}\n" for argument in arguments).encode()
        return b"".join(texts) + b"\x93(" + strings + b"tR"

    code = f"open({text!r}, 'w')"
    return [
        line("os", "system", shell),
        line("posix", "system", shell),
        line("nt", "system", shell),
        line("subprocess", "check_output", shell),
        line("builtins", "eval", code),
        line("builtins", "exec", code),
        line("__builtin__", "eval", code),
        line("builtins", "open", text, "w"),
        line("io", "open", text, "w"),
        line("os", "mkdir", text),
        line("torch.utils.collect_env", "run", shell),
        line("torch", "save", "x", text),
        line("torch.serialization", "os.system", shell),
        line("numpy", "save", text, "x"),
        line("numpy.core.multiarray", "_reconstruct.__globals__"),
        line("runpy", "_run_code", code),
        line("timeit", "timeit", code),
        line("pydoc", "pipepager", "x", shell),
        line("importlib", "import_module", "this"),
        stack_global("os", "system", shell),
        stack_global("builtins", "eval", code),
        f"(V{shell}\nios\nsystem\n".encode(),
        f"(cos\nsystem\nV{shell}\no".encode(),
        b"cbuiltins\ngetattr\n(cos\nV" + b"system\ntR(V" + shell.encode() + b"\ntR",
        b"ccollections\nOrderedDict\n(tR}V__class__\ncos\nsystem\nsb",
        b"ctorch._utils\n_rebuild_tensor_v2\n}V__code__\ncos\nsystem\nsb",
        b"\x82\x01",
        b"Pos.system\n",
    ]


def claims(rng: Random) -> bytes:
    """Returns steps that leave one object and ask for far more memory than they are long."""
    huge = pick(rng, _HUGE)
    four = struct.pack("<I", huge)
    signed = struct.pack("<i", min(huge, 2**31 - 1))
    choices = (
        b"K\x01r" + four,  # a memo of so many entries
        b"K\x01p" + str(huge).encode() + b"\n",
        b"X" + four + b"abc",
        b"B" + four + b"abc",
        b"T" + signed + b"abc",
        b"\x8b" + signed + b"abc",
        b"\x8d" + struct.pack("<Q", huge * 10**4) + b"abc",
        b"\x8e" + struct.pack("<Q", huge) + b"abc",
        b"\x96" + struct.pack("<Q", huge) + b"abc",
        b"\x95" + struct.pack("<Q", huge) + b"K\x01",
        b"cbuiltins\nbytearray\n(J" + signed + b"tR",
        b"c__builtin__\nbytearray\n(J" + signed + b"tR",
        b"ctorch\nTensor\n(J" + signed + b"tR",
        b"ctorch\nFloatTensor\n(J" + signed + b"tR",
        b"ctorch\nFloatStorage\n(J" + signed + b"tR",
        b"ctorch.storage\nUntypedStorage\n(J" + signed + b"tR",
        b"ctorch.storage\nTypedStorage\n(J" + signed + b"tR",
        b"cnumpy\nndarray\n((J" + signed + b"tV" + b"f8\ntR",
        b"ctorch\nTensor\n(J" + signed + b"t\x81",
        b"(" + b"]" * 60_000 + b"l",
        b"(" * 30_000 + b"t" * 30_000,
    )
    return pick(rng, choices)


def changed(program: bytes, rng: Random, marker: Path) -> bytes:
    """Returns a sound pickle with some of its steps taken out, doubled, swapped, altered or added to."""
    try:
        places = [place for _, _, place in pickletools.genops(program)]
    except ValueError:
        return program
    steps = [program[a:b] for a, b in zip(places, [*places[1:], len(program)], strict=True)]
    for _ in range(int(rng.integers(1, 5))):
        index = int(rng.integers(len(steps)))
        way = int(rng.integers(7))
        if way == 0:
            del steps[index]
        elif way == 1:
            steps.insert(index, steps[index])
        elif way == 2:
            other = int(rng.integers(len(steps)))
            steps[index], steps[other] = steps[other], steps[index]
        elif way == 3:
            steps[index] = _other_number(rng)
        elif way == 4:
            steps.insert(index, claims(rng))
        elif way == 5:
            steps.insert(index, pick(rng, calls(marker)))
        else:
            steps[index] = bytes([int(rng.integers(256))]) + steps[index][1:]
        if not steps:
            break
    return b"".join(steps)


def _other_number(rng: Random) -> bytes:
    return pickle.dumps(pick(rng, (*WHOLE_NUMBERS, 1e308, "text", None, True)), protocol=2)[2:-1]

"""Running one method on one pair in a process of its own."""

import json
import os
import subprocess
import time
from pathlib import Path

from SACBRegistrationLib.comparison.methods import Method
from SACBRegistrationLib.comparison.program import OUTCOME
from SACBRegistrationLib.torch_environment import TORCH_ENVIRONMENT

_PACKAGE = Path(__file__).resolve().parents[1]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
# This very package and nothing that lies beside it: those may be packages of another Python.
_START = (
    "import importlib.util as u, os, runpy, sys\n"
    "name, folder = 'SACBRegistrationLib', {package!r}\n"
    "spec = u.spec_from_file_location(name, os.path.join(folder, '__init__.py'), "
    "submodule_search_locations=[folder])\n"
    "sys.modules[name] = u.module_from_spec(spec)\n"
    "spec.loader.exec_module(sys.modules[name])\n"
    "runpy.run_module(name + '.comparison.program', run_name='__main__', alter_sys=True)\n"
)
_ASK = (
    "import importlib.metadata as m, importlib.util as u, json, sys; found = {}\n"
    "for module, name in json.loads(sys.argv[1]):\n"
    "    found[module] = m.version(name) if u.find_spec(module) else None\n"
    "print(json.dumps(found))"
)


def installed_peers(methods: list[Method], python: str) -> dict[str, str]:
    """Returns the version of every other program that an interpreter has, by the method's name.

    Args:
        methods: Methods to look for.
        python: The interpreter.

    Raises:
        OSError: When the interpreter cannot be started.
        RuntimeError: When it fails.
    """
    wanted = [(method.imports, method.distribution) for method in methods if method.peer]
    if not wanted:
        return {}
    # Another Python may have other ideas of the code page; the answer itself is ASCII.
    done = subprocess.run(
        [python, "-c", _ASK, json.dumps(wanted)], capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    found = json.loads(done.stdout)
    return {method.name: found[method.imports] for method in methods if method.peer and found[method.imports]}


def run_in_process(job: dict, python: str, threads: int) -> dict:
    """Runs a job and returns what it measured, and the seconds of its whole process.

    Args:
        job: See `SACBRegistrationLib.comparison.program.run_job`.
        python: The interpreter.
        threads: CPU threads of everything.

    Returns:
        The job's outcome with "process_seconds" (without those spent on writing the result in the common
        form), or "failure", one sentence, and "output", the end of what the process said.
    """
    folder = Path(job["folder"])
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    # The command line sets torch's variables for itself alone; the other programs run as they always do.
    inherited = {name: value for name, value in os.environ.items() if name not in TORCH_ENVIRONMENT}
    environment = {**inherited, **dict.fromkeys(_THREADS, str(threads)), "PYTHONUTF8": "1"}
    if job["ours"]:
        environment |= TORCH_ENVIRONMENT
    command = [python, "-c", _START.format(package=str(_PACKAGE)), str(file)]
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        # Some programs leave files where they are started.
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    wall = time.perf_counter() - begun
    said = (done.stdout[-2000:] + "\n" + done.stderr[-4000:]).strip()
    if not (folder / OUTCOME).is_file():
        how = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"returned {done.returncode}"
        return {"failure": f"Its process {how} without a result.", "output": said}
    outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    if "failure" in outcome:
        return {**outcome, "output": said}
    return {**outcome, "process_seconds": wall - outcome.pop("finish_seconds")}

"""Forks, and the detection of workers, in real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moneypath.telemetry.recording.multiprocess.processes import Process, parent_of_workers

BEGINNING = """
import json, multiprocessing, os, signal, subprocess, sys, threading, time
from pathlib import Path
from moneypath.telemetry import Catalogue, setup
from moneypath.telemetry.recording.multiprocess.processes import parent_of_workers

WORDS = {"providers": ("north",), "currencies": ("EUR",), "checks": ("ledger",), "schemes": ("visa",)}
CATALOGUE = Catalogue.build(WORDS)
LABELS = {"operation": "capture", "result": "new"}

def count(recorder):
    return recorder.counter("moneypath_idempotency_results_total").bind(**LABELS)

def counted(recorder):
    name = 'moneypath_idempotency_results_total{operation="capture",result="new"}'
    return next(float(line.split()[-1]) for line in recorder.render().decode().splitlines() if name in line)

def sample(recorder, name):
    return next(line.split()[-1] for line in recorder.render().decode().splitlines() if name in line)

def forked(work):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        content = stream.read()
    os.waitpid(pid, 0)
    return json.loads(content)

def parent():
    found = parent_of_workers()
    return found and found.pid
"""


def run(script: str, folder: Path, *, exit_code: int = 0) -> Any:
    """Run a script in a process of its own and return its output."""
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGINNING + script, str(folder / "group")],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder / "run")},
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert process.returncode == exit_code
    return json.loads(process.stdout)


def test_who_works_alone_and_who_does_not(tmp_path: Path) -> None:
    """A program on its own, or started by a worker, is not a worker; forked and spawned workers are."""
    script = """
def tell(queue):
    queue.put(parent())

def program():
    code = BEGIN + "; print(json.dumps(parent()))"
    return json.loads(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout)

PROCESSES = "moneypath.telemetry.recording.multiprocess.processes"
BEGIN = f"import json; from {PROCESSES} import parent_of_workers as parent"
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
child = context.Process(target=tell, args=(queue,))
child.start()
made = queue.get()
child.join()
print(json.dumps([os.getpid(), parent(), forked(parent), made, forked(program)]))
"""
    pid, alone, forked, made, program = run(script, tmp_path)
    assert (alone, forked, made, program) == (None, pid, pid, None)


def test_spawned_child_is_a_worker(tmp_path: Path) -> None:
    """Servers that spawn their workers with multiprocessing, as uvicorn does, share too."""
    (tmp_path / "spawned.py").write_text(
        BEGINNING
        + """
def work(queue):
    recorder = setup(CATALOGUE, service="shop")
    count(recorder).inc(2)
    queue.put((parent(), counted(recorder)))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    told = []
    for _ in range(2):
        child = context.Process(target=work, args=(queue,))
        child.start()
        told.append(queue.get())
        child.join()
    print(json.dumps([os.getpid(), told]))
"""
    )
    process = subprocess.run(
        [sys.executable, str(tmp_path / "spawned.py")],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    pid, told = json.loads(process.stdout)
    assert told == [[pid, 2], [pid, 4]]


def test_children_of_a_process_that_recorded_start_from_zero(tmp_path: Path) -> None:
    """Handles from before the fork record into the child's own data points.

    Children share, and the parent reads them. A thread of the parent holds a lock of the recorder during
    the fork; the child must not wait for it.
    """
    script = """
recorder = setup(CATALOGUE, service="shop")
bound = count(recorder)
bound.inc(100)
failed = {"operation": "capture", "outcome": "failed"}
observed = recorder.histogram("moneypath_payment_duration_seconds").bind(**failed)
observed.observe(1)
open_payment = recorder.payment("capture").__enter__()
locked, done = threading.Event(), threading.Event()

# A child that recorded nothing, so that there is a group to be read, and a lock to be held for that.
forked(parent)
counted(recorder)

def hold():
    with recorder._store._reader._lock:
        locked.set()
        done.wait()

threading.Thread(target=hold, daemon=True).start()
locked.wait()

def work():
    first = counted(recorder)
    bound.inc()
    observed.observe(1)
    with recorder.payment("capture") as payment:
        payment.finish("succeeded", "north")
    open_payment.finish("succeeded", "north")
    return first, counted(recorder), sample(recorder, 'in_flight{operation="capture"}')

told = [forked(work) for _ in range(3)]
done.set()
lost = sample(recorder, 'reason="unfinished"')
print(json.dumps([told, counted(recorder), sample(recorder, 'in_flight{operation="capture"}'), lost]))
"""
    told, whole, in_flight, lost = run(script, tmp_path)
    assert told == [[0, 1, "0"], [1, 2, "0"], [2, 3, "0"]]
    assert (whole, in_flight, lost) == (103, "1", "0")


def test_parent_that_is_killed_is_dead_though_its_child_lives(tmp_path: Path) -> None:
    """A child inherits its parent's mapping in the frame of a lost thread, and must not keep the lock."""
    script = """
folder = Path(sys.argv[1])
recorder = setup(CATALOGUE, service="shop", shared=folder)
bound = count(recorder)
bound.inc(2)

def keep(point):
    threading.Event().wait()

threading.Thread(target=keep, args=(bound._point,), daemon=True).start()
read, write = os.pipe()
if os.fork() == 0:
    os.close(write)
    bound.inc(3)
    both = counted(recorder), len(list(folder.glob("*/*.points")))
    os.read(read, 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        after = counted(recorder), len(list(folder.glob("*/*.points")))
        if after[1] == 1:
            break
    print(json.dumps([both, after]), flush=True)
    os._exit(0)
os.close(read)
while len(list(folder.glob("*/*.points"))) < 2:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
    both, after = run(script, tmp_path, exit_code=-signal.SIGKILL)
    assert both[0] == 5
    assert after == [5, 1]


@pytest.mark.parametrize("shared", ["False", "None"])
def test_fork_of_a_process_that_cannot_share(shared: str, tmp_path: Path) -> None:
    """A child that must not or cannot share counts from zero on its own. Only the latter is a drop."""
    script = f"""
os.environ.pop("XDG_RUNTIME_DIR")
os.environ["TMPDIR"] = "/nowhere"
from moneypath.telemetry.recording.multiprocess import group
group.MEMORY_FOLDER = Path("/nowhere")
recorder = setup(CATALOGUE, service="shop", shared={shared})
bound = count(recorder)
bound.inc(5)

def work():
    bound.inc(2)
    return counted(recorder), sample(recorder, 'reason="not_shared"')

print(json.dumps([forked(work), counted(recorder)]))
"""
    assert run(script, tmp_path) == [[2, "0" if shared == "False" else "1"], 5]


def test_process_number_used_again_is_another_process() -> None:
    """A process is identified by its id and start time."""
    this = Process.of(os.getpid())
    assert this.is_alive()
    assert not Process(this.pid, str(int(this.started) + 1)).is_alive()
    assert Process(this.pid, "0").is_alive()
    assert parent_of_workers() is None


def test_fork_whose_parent_runs_another_program_works_alone(tmp_path: Path) -> None:
    """The parent of a daemon is the system's first process, which is not a server with workers."""
    script = """
read, write = os.pipe()
if os.fork() == 0:
    before, mine = parent(), os.readlink("/proc/self/exe")
    os.write(write, b"1")
    while os.readlink(f"/proc/{os.getppid()}/exe") == mine:
        pass
    print(json.dumps([before, os.getppid(), parent()]), flush=True)
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(0)
os.read(read, 1)
os.execv("/bin/sleep", ["sleep", "60"])
"""
    before, pid, after = run(script, tmp_path, exit_code=-signal.SIGTERM)
    assert (before, after) == (pid, None)


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Workers that count and scrape continuously are killed one by one, at any moment.

    Each worker reports every count. Scrapes never go back and never miss a reported count. At the end there
    is at most one unreported count for each worker that was killed.
    """
    script = """
import random
names = ["moneypath_idempotency_results_total"]
recorder = setup(CATALOGUE, service="shop", metrics=names, shared=Path(sys.argv[1]))
bound, seen, told, kills, chance = count(recorder), [], 0, 0, random.Random(7)

def start():
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        while True:
            for _ in range(7):
                bound.inc()
                os.write(write, b".")
            recorder.render()
    os.close(write)
    os.set_blocking(read, False)
    return pid, read

def drain(read):
    try:
        return len(os.read(read, 1 << 16))
    except BlockingIOError:
        return 0

workers = [start() for _ in range(3)]
missed = 0
for _ in range(60):
    told += sum(drain(read) for _, read in workers)
    seen.append(counted(recorder))
    missed += seen[-1] < told
    pid, read = workers.pop(chance.randrange(3))
    os.kill(pid, signal.SIGKILL)
    kills += 1
    if chance.random() < 0.5:
        seen.append(counted(recorder))
    os.waitpid(pid, 0)
    told += drain(read)
    os.close(read)
    workers.append(start())
for pid, read in workers:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    told += drain(read)
    kills += 1
seen.append(counted(recorder))
left = len(list(Path(sys.argv[1]).glob("*/*.points")))
foreign = sample(recorder, 'reason="shared_file"')
print(json.dumps([seen == sorted(seen), missed, told, seen[-1], kills, left, foreign]))
"""
    steady, missed, told, total, kills, left, foreign = run(script, tmp_path)
    assert (steady, missed, left, foreign) == (True, 0, 1, "0")
    assert told > kills
    assert told <= total <= told + kills

"""
A newcomer's first ten minutes by the README's words alone, and an operator's three
machines by those of their page: ``make tour``.

On a fresh clone, in an empty home: what the README shows is typed, what comes is
printed, and the first thing that does not do what it says ends the tour. It needs
nothing but the standard library, like the newcomer.
"""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tests.tour import three_machines
from tests.tour.machines import TourError

ROOT = Path(__file__).parents[2]

#: Making the environment and a first demo take minutes; nothing takes longer.
_PATIENCE_SECONDS = 900
_UP_SECONDS = 120
_DOWN_SECONDS = 30

#: What a command prints when it did what the README says.
_PROMISES = {
    "submit": "success|done",
    "job list": "done",
    "job show": "verdict",
    "job explain": "yara",
    "task show": "executing",
    "sample show": "letter.txt",
    "verdict show": "yara",
    "doctor": "ok",
}


def main() -> None:
    """Take the tour."""
    with tempfile.TemporaryDirectory(prefix="assay-tour-") as name:
        folder = Path(name)
        clone, home = folder / "assay", folder / "home"
        (home / "Downloads").mkdir(parents=True)
        (home / "Downloads" / "letter.txt").write_text("See https://example.org\n")
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "ASSAY_API_PORT": str(_free_port()),
            "ASSAY_FLOWER_PORT": str(_free_port()),
        }
        _run(f"git clone --quiet {ROOT} {clone}", folder, environment)
        _run("make demo", clone, environment, promise="all as expected")
        _look_around(clone, home, environment)
        try:
            three_machines.take(clone)
        except TourError as error:
            _fail(str(error))
    print("\nthe tour is over, and everything did what the README says")


def _look_around(clone: Path, home: Path, environment: Mapping[str, str]) -> None:
    print("\n$ make up", flush=True)
    log = home / "up.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["make", "up"],
            cwd=clone,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as up,
    ):
        try:
            _wait_for(log, "Ctrl-C stops all of it")
            for line in _commands(clone):
                _run(line, clone, environment, promise=_promise(line))
            _ask_flower(log.read_text(), home)
            _write_a_worker(clone, home, environment)
        finally:
            print("\n^C", flush=True)
            # As a terminal does it: to all that make has started.
            os.killpg(up.pid, signal.SIGINT)
            _end(up)
    print(log.read_text())
    left = subprocess.run(
        ["pgrep", "-f", str(home)], capture_output=True, text=True, check=False
    ).stdout.split()
    if left:
        _fail(f"processes are left: {' '.join(left)}")


def _write_a_worker(clone: Path, home: Path, environment: Mapping[str, str]) -> None:
    """Do what an author does: the README's worker, tried, run and given a job."""
    text = (clone / "README.md").read_text()
    block = text.partition("## A worker in eight lines")[2].partition("```python\n")[2]
    (home / "my_worker.py").write_text(block.partition("```")[0])
    assay = f"{clone}/.venv/bin/assay"
    letter = "Downloads/letter.txt"
    tried = f"{assay} worker try my_worker.py {letter}"
    _run(tried, home, environment, promise="success")
    line = f"{assay} worker run my_worker.py"
    print(f"\n$ {line} &", flush=True)
    with subprocess.Popen(line.split(), cwd=home, env=environment) as replica:
        try:
            _wait_until(f"{assay} worker list", home, environment, "length +live")
            ordered = f"{assay} submit {letter} --worker length --wait"
            _run(ordered, home, environment, promise="done")
        finally:
            replica.terminate()
    _run(f"{assay} worker remove length", home, environment, promise="is removed")


def _promise(line: str) -> str:
    """Return what a command of the README prints; a new one is checked for nothing."""
    named = (said for words, said in _PROMISES.items() if f"assay {words}" in line)
    return next(named, "")


def _commands(clone: Path) -> list[str]:
    """Return what the README has one type beside `make up`."""
    text = (clone / "README.md").read_text()
    block = text.partition("`make up` leaves")[2].partition("```console\n")[2]
    lines = block.partition("```")[0].splitlines()
    return [line.removeprefix("$ ").partition("#")[0].strip() for line in lines]


def _run(
    line: str, folder: Path, environment: Mapping[str, str], *, promise: str = ""
) -> None:
    print(f"\n$ {line}", flush=True)
    done = subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
    )
    print(done.stdout, flush=True)
    if done.returncode != 0:
        _fail(f"it ended with {done.returncode}")
    if not re.search(promise, done.stdout):
        _fail(f"it said nothing of: {promise}")


def _wait_until(
    line: str, folder: Path, environment: Mapping[str, str], promise: str
) -> None:
    """Type a command until it says what it should."""
    deadline = time.monotonic() + _UP_SECONDS
    while True:
        said = subprocess.run(
            line.split(),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if re.search(promise, said):
            print(f"\n$ {line}\n{said}", flush=True)
            return
        if time.monotonic() > deadline:
            _fail(f"{line} said nothing of {promise}:\n{said}")
        time.sleep(0.5)


def _ask_flower(said: str, home: Path) -> None:
    """Ask Flower without a login, which it refuses, and with the one of `make up`."""
    found = re.search(r"^Flower +(\S+)$", said, re.MULTILINE)
    if found is None:
        _fail("make up named no address of Flower")
    written = (home / ".local/share/assay/env").read_text()
    login = ":".join(
        re.findall(r"ASSAY_FLOWER_(?:USER|PASSWORD)=['\"]?([^'\"\n]*)", written)
    )
    code = base64.b64encode(login.encode()).decode()
    for headers, expected in (({}, 401), ({"Authorization": f"Basic {code}"}, 200)):
        request = urllib.request.Request(found[1], headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_DOWN_SECONDS) as answer:  # noqa: S310
                status = answer.status
        except urllib.error.HTTPError as refused:
            status = refused.code
        print(f"\nFlower {'with' if headers else 'without'} a login: {status}")
        if status != expected:
            _fail(f"Flower should have answered {expected}")


def _wait_for(log: Path, words: str) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while words not in log.read_text():
        if time.monotonic() > deadline:
            _fail(f"`make up` did not say {words!r}:\n{log.read_text()}")
        time.sleep(0.5)


def _end(up: subprocess.Popen[bytes]) -> None:
    try:
        up.wait(timeout=_DOWN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(up.pid, signal.SIGKILL)
        _fail(f"Ctrl-C did not stop it within {_DOWN_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _fail(why: str) -> NoReturn:
    print(f"\nthe tour ends here: {why}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()

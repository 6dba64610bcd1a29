"""
Machines for the tour, all of one kernel: namespaces with a systemd, a file system and
a network cable each.

They run what this machine has installed, on copies of its files in memory. They end
with the tour, however that ends. What a page has one do there is ``page.py``'s.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_BOOT = Path(__file__).parent / "machine.sh"

#: What makes them, and what a copied command takes for granted on Debian.
_NEEDED = ("unshare", "nsenter", "setpriv", "ip", "ssh-keygen", "apt-get")
_SYSTEMD = Path("/lib/systemd/systemd")

#: So that they end with us, even if nobody tells them.
_WITH_US = ("setpriv", "--pdeathsig", "KILL")
#: Their root is this kernel's: it loads no modules, and sets no clock.
_NEVER = "-sys_module,-sys_time,-sys_boot,-sys_rawio"

_NAMESPACES = ("--mount", "--uts", "--net", "--pid", "--ipc", "--cgroup")
_ENTERED = ("-m", "-u", "-p", "-i", "-C")

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Of who fetches packages: how, where that is not to be guessed.
_FETCHING = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")

#: As whoever logs in there as root.
_BASH = ("sh", "-c", 'cd /root && exec "$@"', "sh", "bash", "-euo", "pipefail")

_BOOT_SECONDS = 60
#: The longest is to install everything.
_PATIENCE_SECONDS = 900


class TourError(Exception):
    """Something does not do what it should; the message says what."""


def why_none() -> str | None:
    """Return why no machines can be made here, or ``None`` if they can."""
    if os.geteuid() != 0:
        return "they are made by root"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if not _SYSTEMD.exists():
        missing.append("systemd")
    if missing:
        return f"there is no {', '.join(missing)}"
    try:
        _cgroup()
    except TourError as error:
        return str(error)
    tried = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && cd /mnt &&"
    tried += (
        " mkdir a b c && mount -t overlay none -o lowerdir=/,upperdir=a,workdir=b c"
    )
    done = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "sh", "-c", tried],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return f"this kernel makes none for us: {done.stderr.strip()}"
    return None


class Machine:
    """
    One of them, while it runs.

    ``pid``: of its systemd, as this machine sees it.
    """

    def __init__(self, name: str, *, pid: int, cable: tuple[int, str]) -> None:
        self.name = name
        self.pid = pid
        self._switch, self._port = cable
        self._scripts = 0
        self._shell = subprocess.Popen(
            [*self._enter(), "-n", *_environment(), *_BASH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def type(self, text: str) -> str:
        """
        Type *text* into its root's terminal, which remembers what was set before.

        Returns:
            What was said.

        Raises:
            TourError: A command of it failed, or took too long.
        """
        self._scripts += 1
        script = f"/run/typed.{self._scripts}"
        self._write(script, text)
        mark = f"--- {os.urandom(8).hex()}"
        line = f". {script} < /dev/null\necho '{mark}'\n"
        assert self._shell.stdin is not None
        with suppress(BrokenPipeError):
            self._shell.stdin.write(line.encode())
            self._shell.stdin.flush()
        return self._said_before(mark)

    def fetch(self, text: str, **variables: str) -> str:
        """Type *text* where packages can be had: on the network of who makes them."""
        passed = [
            f"{name}={value}"
            for name, value in os.environ.items()
            if name.upper().startswith(_FETCHING)
        ]
        done = subprocess.run(
            [
                *self._enter(),
                *_environment(*passed, *(f"{k}={v}" for k, v in variables.items())),
                *(*_BASH, "-c", text),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
        if done.returncode != 0:
            raise TourError(f"{self.name} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def plug(self, *, is_in: bool) -> None:
        """Put its network cable in, or take it out."""
        state = "up" if is_in else "down"
        _network(self._switch, f"link set {self._port} {state}")

    def close(self) -> None:
        """End the terminal."""
        self._shell.kill()
        self._shell.wait()

    def _enter(self) -> Sequence[str]:
        return (*_WITH_US, "nsenter", "-t", str(self.pid), *_ENTERED)

    def _write(self, path: str, text: str) -> None:
        subprocess.run(
            [*self._enter(), "sh", "-c", f"cat > {path}"],
            input=text.encode(),
            check=True,
        )

    def _said_before(self, mark: str) -> str:
        said = b""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        assert self._shell.stdout is not None
        while f"{mark}\n".encode() not in said:
            left = deadline - time.monotonic()
            if not select.select([self._shell.stdout], [], [], max(left, 0))[0]:
                raise TourError(f"{self.name} is not done with it:\n{said.decode()}")
            part = os.read(self._shell.stdout.fileno(), 65_536)
            if not part:
                code = self._shell.wait()
                text = said.decode(errors="replace")
                raise TourError(f"{self.name} ended with {code}:\n{text}")
            said += part
        return said.decode(errors="replace").partition(mark)[0]


@contextmanager
def machines(
    names: Sequence[str], *, domain: str, source: Path
) -> Iterator[Mapping[str, Machine]]:
    """
    Start machines that reach each other by name, and by SSH as root.

    Args:
        domain: Each is ``<name>.<domain>``, and ``<name>``.
        source: A repository, which they see as ``/mnt/assay``.
    """
    with ExitStack() as leaving:
        folder = Path(
            leaving.enter_context(tempfile.TemporaryDirectory(prefix="assay-machines-"))
        )
        switch = leaving.enter_context(
            _process("unshare", "--net", "sleep", "infinity")
        )
        _wait_for_namespace(switch.pid)
        _network(switch.pid, "link add name hub type bridge")
        _network(switch.pid, "link set hub up")
        _prepare(folder, names, domain)
        trees = folder / "trees"
        trees.mkdir()
        made = {}
        for number, name in enumerate(names):
            pid = leaving.enter_context(_booted(name, folder, trees, source))
            cable = _plugged(switch.pid, pid, number)
            made[name] = Machine(name, pid=pid, cable=cable)
            leaving.callback(made[name].close)
        yield made


def _prepare(folder: Path, names: Sequence[str], domain: str) -> None:
    hosts = ["127.0.0.1 localhost"]
    hosts += [f"{_address(n)} {name}.{domain} {name}" for n, name in enumerate(names)]
    key = folder / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True
    )
    for name in names:
        given = folder / name / "given"
        given.mkdir(parents=True)
        (folder / name / "disk").mkdir()
        (given / "hosts").write_text("\n".join(hosts) + "\n")
        for file in (key, key.with_suffix(".pub")):
            shutil.copy(file, given)


def _address(number: int) -> str:
    return f"10.83.0.{10 * (number + 1)}"


@contextmanager
def _booted(name: str, folder: Path, trees: Path, source: Path) -> Iterator[int]:
    group = _cgroup() / f"assay-tour-{os.getpid()}-{name}"
    group.mkdir()
    line = (
        *("sh", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', str(group)),
        *("setpriv", f"--bounding-set={_NEVER}"),
        *("unshare", *_NAMESPACES, "--fork", "--kill-child"),
        *("sh", str(_BOOT), name, str(folder / name), str(trees), str(source)),
    )
    try:
        with _process(*line) as outside:
            yield _systemd(outside)
    finally:
        _remove_group(group)


def _systemd(outside: subprocess.Popen[bytes]) -> int:
    """Wait until it runs, and return its pid."""
    deadline = time.monotonic() + _BOOT_SECONDS
    children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
    while outside.poll() is None and time.monotonic() < deadline:
        # Either may end while it is looked at.
        with suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    _wait_until_it_runs(child, deadline)
                    return int(child)
        time.sleep(0.1)
    raise TourError("a machine does not start")


def _wait_until_it_runs(pid: str, deadline: float) -> None:
    asked = (
        "nsenter",
        "-t",
        pid,
        *_ENTERED,
        "systemctl",
        "is-active",
        "multi-user.target",
    )
    while subprocess.run(asked, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise TourError("systemd does not come up in a machine")
        time.sleep(0.2)


def _plugged(switch: int, pid: int, number: int) -> tuple[int, str]:
    port = f"port{number}"
    _network(
        switch, f"link add {port} type veth peer name eth0 netns /proc/{pid}/ns/net"
    )
    _network(switch, f"link set {port} master hub up")
    _network(pid, f"address add {_address(number)}/24 dev eth0")
    for link in ("lo", "eth0"):
        _network(pid, f"link set {link} up")
    return switch, port


def _network(pid: int, words: str) -> None:
    subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *words.split()], check=True)


def _wait_for_namespace(pid: int) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _BOOT_SECONDS
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        if time.monotonic() > deadline:
            raise TourError("no network of its own can be made")
        time.sleep(0.05)


def _environment(*more: str) -> Sequence[str]:
    return ("env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", *more)


@contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*_WITH_US, *words], stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _cgroup() -> Path:
    """Return a cgroup of version 2 below which others can be made."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            root = Path(fields.split()[4])
            if os.access(root, os.W_OK):
                return root
    raise TourError("no cgroups of version 2 can be made")


def _remove_group(group: Path) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while group.exists():
        for below in sorted(group.rglob("*"), reverse=True):
            with suppress(OSError):
                if below.is_dir():
                    below.rmdir()
        with suppress(OSError):
            group.rmdir()
        if time.monotonic() > deadline:
            raise TourError(f"something of a machine is left in {group}")
        time.sleep(0.1)

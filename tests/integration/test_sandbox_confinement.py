"""
What an analyzer in the hands of its sample can reach: nothing that is not its own.

Says what *this* machine has, too: a test that passed because a wall is missing on the
attacker's side would say nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.attacks import SECRET, attack, prepared_targets
from tests.fixtures.sandboxes import ANALYZERS, planned_run, run, sandbox
from workers.analysis import JSON
from workers.sandbox.inside import landlock, seccomp
from workers.sandbox.inside.confinement import code_paths, missing_walls
from workers.sandbox.sandbox import Finished, Sandbox


def test_this_machine_has_every_wall():
    assert landlock.abi() >= landlock.SCOPE_ABI
    assert seccomp.is_supported()
    assert missing_walls() == ()


@pytest.fixture
def targets(tmp_path: Path, real_servers: dict[str, JSON]) -> Iterator[dict[str, JSON]]:
    with prepared_targets(tmp_path) as targets:
        yield {**targets, **real_servers}


def test_a_hostile_sample_gets_at_nothing(tmp_path, targets):
    got = attack(tmp_path, "hostile", targets)

    assert got == {}
    assert Path(targets["secrets"]).read_text() == SECRET


def test_an_analyzer_with_network_gets_at_ip_and_at_nothing_else(tmp_path, targets):
    got = attack(tmp_path, "hostile-with-network", targets)

    # It may speak to whoever listens on the network: servers have to ask who it is.
    assert got.keys() == {
        "a TCP port",
        "a netlink socket",
        "the Redis",
        "the PostgreSQL",
    }


def test_the_same_attempts_get_through_where_there_is_no_sandbox(tmp_path, targets):
    """The control: the attempts are real, what stops them above is the sandbox."""
    program = """
import json, os, sys
from pathlib import Path
from workers import Sample
from sandbox_hostile import ATTEMPTS, hostile
for name in [name for name in ATTEMPTS if "tracing" in name]:
    del ATTEMPTS[name]
Path("sample").write_text("x")
sample = Sample(path=Path("sample").absolute(), sha256="", size=1,
                options=json.loads(sys.argv[1]))
print(json.dumps(hostile(sample).result))
"""
    work = tmp_path / "work"
    work.mkdir()
    search = [os.getcwd(), str(ANALYZERS), *filter(None, sys.path)]  # noqa: PTH109
    # What it traces stops for good, and it would trace pytest.
    with subprocess.Popen(["sleep", "60"]) as replica:
        done = subprocess.run(
            [
                *[sys.executable, "-c", program],
                json.dumps({**targets, "replica": replica.pid}),
            ],
            env={"PYTHONPATH": os.pathsep.join(search), "PATH": os.environ["PATH"]},
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        replica.kill()
    assert done.returncode == 0, done.stderr

    got = json.loads(done.stdout).keys()

    assert got >= {
        "the secrets in a file",
        "the secrets through a link",
        "another sample",
        "the folder of the secrets",
        "writing outside",
        "changing a mode outside",
        "changing the sample",
        "shared memory",
        "shared memory by number",
        "a Unix socket",
        "an abstract socket",
        "a datagram to a Unix socket",
        "a TCP port",
        "the Redis",
        "the PostgreSQL",
        "the PostgreSQL by its socket",
        "a signal to the replica",
        "the replica's command",
        "the limits of the replica",
        "the priority of the replica",
        "outliving its parent",
    }


def test_another_slots_sample_is_out_of_reach(tmp_path, targets, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    reached: list[object] = []
    other = str(tmp_path / "scratch" / "0" / "sample")
    inner: dict[str, JSON] = {**targets, "replica": os.getpid(), "other_slot": other}

    with sandbox("sandbox_hostile", "hostile", tmp_path / "scratch") as started:

        def while_the_other_has_its_sample(target: Path, _: float) -> None:
            target.write_bytes(b"other")
            target.chmod(0o644)
            outcome = run(started, planned_run(**inner), slot=1)
            assert isinstance(outcome, Finished)
            reached.append("another slot's sample" in outcome.analysis["result"])

        planned = planned_run(**inner)
        object.__setattr__(planned, "deliver", while_the_other_has_its_sample)
        run(started, planned, slot=0)

    assert reached == [False]


@pytest.fixture(scope="module")
def ok(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_SECRET_KEY", SECRET)
        patch.syspath_prepend(ANALYZERS)
        scratch = tmp_path_factory.mktemp("scratch")
        with sandbox("sandbox_ok", "ok", scratch) as started:
            yield started


def _result_of(sandbox: Sandbox, *, slot: int = 0, **options: JSON) -> dict[str, JSON]:
    outcome = run(sandbox, planned_run(**options), slot=slot)
    assert isinstance(outcome, Finished)
    result: dict[str, JSON] = outcome.analysis["result"]
    return result


def test_a_child_inherits_no_variable_of_the_replica(ok):
    environment = _result_of(ok)["environment"]

    assert environment.keys() == {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONPATH"}


def test_a_child_has_no_file_descriptor_but_its_standard_ones_and_its_channel(ok):
    with Path(__file__).open():
        assert _result_of(ok)["descriptors"] == [0, 1, 2, 3]


def test_a_file_that_the_template_may_read_but_nobody_else_is_not_in_the_code(tmp_path):
    """A project's root is on sys.path, and holds more than code."""
    root = tmp_path / "project"
    (root / "pack").mkdir(parents=True)
    (root / "pack" / "__init__.py").write_text("")
    (root / "pack" / "data.txt").write_text("rules")
    (root / ".env").write_text(SECRET)
    (root / "mine.py").write_text(
        "import pack\n"
        "from pathlib import Path\n"
        "from workers import Analysis, analyzer\n"
        "HERE = Path(__file__).parent\n"
        "@analyzer('mine', version='1')\n"
        "def mine(sample):\n"
        "    try:\n"
        "        found = (HERE / '.env').read_text()\n"
        "    except OSError:\n"
        "        found = None\n"
        "    return Analysis(score=0, result=[\n"
        "        found, (HERE / 'pack' / 'data.txt').read_text(),\n"
        "        Path(__file__).read_text()[:11]])\n"
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        with sandbox("mine", "mine", tmp_path / "scratch") as started:
            outcome = run(started, planned_run())

    assert isinstance(outcome, Finished), outcome
    assert outcome.analysis["result"] == [None, "rules", "import pack"]


def test_a_virtual_environment_in_a_projects_root_does_not_open_the_project():
    opened = [Path(path) for path in code_paths(sys.modules)]

    assert Path(sys.prefix, "lib").resolve() in opened
    assert Path(sys.prefix).resolve() not in opened


def test_slots_of_a_root_replica_have_users_of_their_own(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root can give a slot a user")
    monkeypatch.syspath_prepend(ANALYZERS)
    with (
        sandbox("sandbox_behaviours", "behave", tmp_path / "a") as first,
        sandbox("sandbox_behaviours", "behave", tmp_path / "b") as second,
    ):
        users = {
            _result_of(started, slot=slot, do="fine")["uid"]
            for started in (first, second)
            for slot in (0, 1)
        }

    assert len(users) == 4
    assert 0 not in users


def test_processes_are_counted_where_a_slot_has_a_user(tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root can give a slot a user")
    monkeypatch.syspath_prepend(ANALYZERS)

    with sandbox("sandbox_behaviours", "behave", tmp_path / "s") as started:
        many = run(started, planned_run(do="forks_many"))
        again = run(started, planned_run(do="forks_many"))

    for outcome in (many, again):
        assert isinstance(outcome, Finished), outcome
        assert 200 < outcome.analysis["result"] < 256


def test_common_work_with_files_is_not_disturbed(tmp_path):
    (tmp_path / "common.py").write_text(
        "import json, os, shutil, socket, subprocess, tarfile, tempfile, threading\n"
        "import zipfile\n"
        "from pathlib import Path\n"
        "from workers import Analysis, analyzer\n"
        "@analyzer('common', version='1')\n"
        "def common(sample):\n"
        "    import sqlite3, encodings.idna, mimetypes, uuid\n"
        "    mimetypes.init()\n"
        "    with tempfile.NamedTemporaryFile() as f:\n"
        "        f.write(b'x')\n"
        "    shutil.copy(sample.path, 'copy')\n"
        "    shutil.copystat(sample.path, 'copy')\n"
        "    with tarfile.open('t.tar', 'w') as t:\n"
        "        t.add('copy')\n"
        "    with tarfile.open('t.tar') as t:\n"
        "        safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}\n"
        "        t.extractall('out', **safe)\n"
        "    os.rename('t.tar', 'out/t.tar')\n"
        "    thread = threading.Thread(target=lambda: None)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    a, b = socket.socketpair()\n"
        "    a.close(), b.close()\n"
        "    said = subprocess.run(['cat', 'out/copy'], capture_output=True,\n"
        "                          check=True, timeout=5).stdout.decode()\n"
        "    slow = subprocess.Popen(['sleep', '60'])\n"
        "    slow.kill()\n"
        "    slow.wait()\n"
        "    return Analysis(score=0, result=said)\n"
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with sandbox("common", "common", tmp_path / "scratch") as started:
            outcome = run(started, planned_run(content=b"hello"))

    assert isinstance(outcome, Finished), outcome
    assert outcome.analysis["result"] == "hello"


def test_two_slots_run_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    both = threading.Barrier(2, timeout=20)
    ended = []

    def analyse(started: Sandbox, slot: int) -> None:
        def collect(file: object, path: Path) -> None:
            both.wait()

        outcome = run(started, planned_run(), slot=slot, collect=collect)
        ended.append(type(outcome))

    with sandbox("sandbox_ok", "ok", tmp_path / "s") as started:
        threads = [threading.Thread(target=analyse, args=(started, n)) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert ended == [Finished, Finished]

"""
``docs/operations/three-machines.md``, typed word by word into three machines.

Then what the page says of a machine that goes away: cables are taken out, processes are
killed, and an upgrade goes on under work. What two machines fetch alike is fetched
once, and seen by both.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.tour.machines import Machine, TourError, machines, why_none
from tests.tour.page import Block, blocks

ROOT = Path(__file__).parents[2]
PAGE = "docs/operations/three-machines.md"

#: Of the page, and the part of it that is typed while there is work.
_DOMAIN = "assay.example"
_NAMES = ("data", "engine", "workers")
_UPGRADE = "Upgrading"

#: What an operator has there, and who has just set a machine up. Where PostgreSQL was
#: installed before, its first cluster was made then.
_SET_UP = "apt-get -qq update && apt-get -qq install -y openssh-server"
_STARTED = """
systemctl start ssh
for version in $(ls /usr/lib/postgresql 2>/dev/null); do
  [ -e /etc/postgresql/$version/main ] || pg_createcluster $version main
done
"""

#: Seconds of being away: more than a lease.
_ABSENCE = 20

_CONNECT = """
there="host=data.assay.example user=assay dbname=assay"
/opt/assay/.venv/bin/python -c 'import psycopg, sys; psycopg.connect(sys.argv[1])' \
  "$there password={password} sslmode={mode}" 2>&1 || true
"""

_IS_AWAY = """
. /etc/assay/admin.env
url=$ASSAY_API_URL/sampledb/v2/worker
[ "$(curl -sS --max-time 60 --cacert /etc/assay/ca.pem -o /dev/null \\
  -w '%{http_code}' -H "Argus-API-Key: $ASSAY_API_KEY" $url)" = 503 ]
"""

_FORGET = """
for user in $(rabbitmqctl -q list_users | awk '/worker/ { print $1 }'); do
  rabbitmqctl -q delete_user "$user"
done
if rabbitmqctl -q list_users | grep worker; then exit 1; fi
"""

_SAMPLES = """
mkdir -p /tmp/{name}
for number in $(seq {count}); do echo "{name} $number" > /tmp/{name}/$number; done
chmod -R a+rX /tmp/{name}
"""


def main() -> None:
    """Make a clone and take this part of the tour alone."""
    with tempfile.TemporaryDirectory(prefix="assay-tour-") as folder:
        clone = Path(folder) / "assay"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        try:
            take(clone)
        except TourError as error:
            print(f"\nthe tour ends here: {error}", file=sys.stderr)
            raise SystemExit(1) from None


def take(clone: Path) -> None:
    """
    Type the page; say so where no machines can be made.

    Raises:
        TourError: Something does not do what the page says.
    """
    why = why_none()
    if why is not None:
        print(f"\n{PAGE}: NOT tried: {why}", flush=True)
        return
    page = blocks((clone / PAGE).read_text())
    if {name for one in page for name in one.machines} != set(_NAMES):
        raise TourError(f"{PAGE} has no commands for each of {', '.join(_NAMES)}")
    began = time.monotonic()
    with machines(_NAMES, domain=_DOMAIN, source=clone) as made:
        for machine in made.values():
            machine.fetch(_SET_UP)
            machine.type(_STARTED)
        _say(f"three machines are up after {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        spent = _type([one for one in page if one.part != _UPGRADE], made)
        took = time.monotonic() - began
        _say(f"the page took {took:.0f} s, {spent:.0f} of them to fetch packages")
        _look(made)
        _lose_machines(made)
        _upgrade([one for one in page if one.part == _UPGRADE], made)
    _say(f"all of {PAGE} does what it says")


def _type(page: Sequence[Block], made: Mapping[str, Machine]) -> float:
    """Type blocks, print what is said, and return the seconds that fetching took."""
    spent = 0.0
    for block in page:
        # Where both would fetch the same, one does.
        names = block.machines[:1] if block.fetches else block.machines
        for name in names:
            began = time.monotonic()
            _say(f"[{name}] {block.part}\n{block.text.rstrip()}")
            if block.fetches:
                # A screenful is enough of what packages say.
                print(made[name].fetch(block.text, SOURCE="/mnt/assay")[-2000:])
                spent += time.monotonic() - began
            else:
                print(made[name].type(block.text))
            print(f"({time.monotonic() - began:.1f} s)", flush=True)
    return spent


def _look(made: Mapping[str, Machine]) -> None:
    """See that what should be works, and that nothing else is open or readable."""
    made["engine"].type(
        "head -c 20000000 /dev/urandom > /tmp/large && chmod a+r /tmp/large"
        " && assay submit /tmp/large --wait"
    )
    said = made["engine"].type("assay doctor")
    # How much room there is depends on the machine that has made this one.
    warned = [line for line in said.splitlines() if re.match("warn +(?!space)", line)]
    if warned or "what leaves this machine is encrypted" not in said:
        raise TourError(f"doctor is not content:\n{said}")
    url = "https://engine.assay.example"
    made["workers"].type(
        f"curl -sS --fail --cacert /etc/assay/ca.pem {url}/health/ready"
    )
    for refused in (
        # To RabbitMQ without TLS, to the API past nginx, and to what is root's alone.
        "exec 3<>/dev/tcp/data.assay.example/5672",
        "exec 3<>/dev/tcp/engine.assay.example/8000",
        "runuser -u assay-worker -- cat /etc/assay/worker-yara.env",
    ):
        # What begins with "!" ends no shell.
        made["workers"].type(f"if ( {refused} ) > /dev/null 2>&1; then exit 1; fi")
    password = made["data"].type("echo $password").strip()
    # With the right password, but from elsewhere; and from there, but in the clear.
    for name, mode in (("workers", "require"), ("engine", "disable")):
        said = made[name].type(_CONNECT.format(password=password, mode=mode))
        if "no pg_hba.conf entry" not in said:
            raise TourError(f"PostgreSQL does not refuse {name} ({mode}):\n{said}")
    weaker = made["workers"].type("journalctl -o cat -u assay-worker@yara")
    for line in re.findall(r'"sandbox.weaker", "reason": "([^"]*)', weaker):
        _say(f"the sandbox is weaker here: {line}")
        if "cgroup" not in line:
            raise TourError("the unit takes away what the sandbox needs")


def _lose_machines(made: Mapping[str, Machine]) -> None:
    engine, workers, data = made["engine"], made["workers"], made["data"]
    _say(
        "the cable of workers is out; jobs are submitted, the engine's processes killed"
    )
    workers.plug(is_in=False)
    engine.type(_SAMPLES.format(name="lost", count=20))
    engine.type("assay submit /tmp/lost --json > /tmp/lost.json")
    engine.type("systemctl kill --signal KILL 'assay@*'")
    time.sleep(_ABSENCE)
    _say("it is in again")
    workers.plug(is_in=True)
    _see_done(engine, "lost")
    _say("the cable of data is out")
    data.plug(is_in=False)
    began = time.monotonic()
    engine.type(_IS_AWAY)
    _say(f"the API says 503, after {time.monotonic() - began:.1f} s")
    time.sleep(_ABSENCE)
    data.plug(is_in=True)
    _say("it is in again")
    engine.type(_SAMPLES.format(name="after", count=5))
    _try_until(engine, "assay submit /tmp/after --json > /tmp/after.json")
    _see_done(engine, "after")
    _try_until(engine, "assay doctor")
    _say("the broker knows no worker any more, and is told")
    data.type(_FORGET)
    engine.type("assay broker policy --apply")
    _try_until(engine, "assay doctor")
    engine.type(_SAMPLES.format(name="told", count=5))
    engine.type("assay submit /tmp/told --json > /tmp/told.json")
    _see_done(engine, "told")


def _upgrade(page: Sequence[Block], made: Mapping[str, Machine]) -> None:
    """Type what upgrades while somebody submits, and see that no task was lost."""
    engine = made["engine"]
    fetched = [block for block in page if block.fetches]
    _type(fetched, made)
    engine.type(_SAMPLES.format(name="many", count=1000))
    engine.type("assay submit /tmp/many --json > /tmp/many.json 2> /tmp/many.err &")
    for block in page:
        if not block.fetches:
            _type([block], made)
            if block.machines == ["engine"]:
                # Else nobody was there to notice.
                engine.type("kill -0 $!")
    engine.type("wait $! || { cat /tmp/many.err; exit 1; }")
    _see_done(engine, "many")
    _try_until(engine, "assay doctor")
    for machine, unit in (("engine", "assay@api"), ("workers", "assay-worker@yara")):
        runs = made[machine].type(
            f"tr '\\0' ' ' < /proc/$(systemctl show -P MainPID {unit})/maps |"
            " grep -o '/opt/assay-versions/[0-9]' | sort -u"
        )
        if runs.split() != ["/opt/assay-versions/2"]:
            raise TourError(f"{unit} runs {runs.split()}, not the new version")


def _see_done(engine: Machine, name: str) -> None:
    began = time.monotonic()
    ids = f'grep -o \'"job": "[^"]*\' /tmp/{name}.json | cut -d \'"\' -f 4'
    said = engine.type(f"assay job watch $({ids})")
    _say(f"every job is done, after {time.monotonic() - began:.1f} s\n{said[-500:]}")


def _try_until(machine: Machine, line: str) -> None:
    machine.type(f"timeout 60 sh -c 'until {line}; do sleep 1; done' > /dev/null 2>&1")


def _say(text: str) -> None:
    print(f"\n$ {text}" if text.startswith("[") else f"\n{text}", flush=True)


if __name__ == "__main__":
    main()

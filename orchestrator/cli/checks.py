"""
What ``assay doctor`` looks at besides the database's own knowledge: packages, settings,
the database as such, this host's clock, the broker, the sample store and the API.

Each check answers with findings, however broken what it looks at is. It prints nothing.
"""

from __future__ import annotations

import stat
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import psycopg
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sqlalchemy import func, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from orchestrator.client.http import Client
from orchestrator.config import PREFIX, Settings, require, unknown_settings
from orchestrator.contracts.data_dir import env_file
from orchestrator.contracts.names import is_rabbitmq
from orchestrator.db.pooler import refuse_shared_sessions
from orchestrator.db.sql_errors import find_hint
from orchestrator.db.unit_of_work import Database, driver_url
from orchestrator.db.workers import list_workers
from orchestrator.domain.errors import (
    AssayError,
    ConfigurationError,
    StoreUnavailableError,
)
from orchestrator.domain.service_time import SKEW_WARN, certain_skew
from orchestrator.messaging.errors import BrokerError, broker_errors
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.topology import redis_client
from orchestrator.queries.diagnose import Finding, Level, diagnose, fail, ok, warn
from orchestrator.store import SampleStore, folder_of

#: What is installed for which purpose, and whether the orchestrator runs without it.
_GROUPS = {
    "server": "the orchestrator",
    "analyzers": "the bundled workers",
    "embedded": "assay up and assay demo",
    "classify": "the second opinion on what a file is",
    "operations": "metrics and Flower",
}
_NEEDED = "server"

#: Where ``pyproject.toml`` is, if Assay was not installed as a package.
_TREE = Path(__file__).parents[2]

#: This host's clock against the database's. Nothing in Assay decides by a host's clock;
#: signed URLs and TLS do, and people who read logs.
_SKEW_FAIL = timedelta(minutes=5)

#: Reports waiting that one consumer does not take away in a second or two.
_REPORTS_MANY = 2_000

_PROBE = b"assay doctor was here\n"


def check_packages() -> Iterator[Finding]:
    """Compare what is installed with what this version needs."""
    try:
        needed = metadata.requires("assay") or []
    except metadata.PackageNotFoundError:
        needed = _needed_by_tree(_TREE)
    installed = {
        str(canonicalize_name(distribution.name)): distribution.version
        for distribution in metadata.distributions()
        # A folder that was left behind half removed has none.
        if distribution.name
    }
    wrong = unmet(needed, installed)
    for group, purpose in _GROUPS.items():
        if not wrong[group]:
            yield ok(f"packages {group}", "all are here")
            continue
        level = fail if group == _NEEDED else warn
        detail = f"{purpose} lacks {', '.join(wrong[group])}"
        remedy = f"pip install 'assay[{group}]'"
        yield level(f"packages {group}", detail, remedy)


def _needed_by_tree(tree: Path) -> list[str]:
    """Return what a source tree needs, in the words of an installed package."""
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
    needed = list(project["dependencies"])
    for group, lines in project["optional-dependencies"].items():
        for line in lines:
            # Its own extras, each of which has its turn.
            if Requirement(line).name == project["name"]:
                continue
            what, _, marker = line.partition(";")
            own = f"({marker.strip()}) and " if marker else ""
            needed.append(f'{what.strip()}; {own}extra == "{group}"')
    return needed


def unmet(
    needed: Sequence[str], installed: Mapping[str, str]
) -> Mapping[str, Sequence[str]]:
    """
    Return what is missing or of another version, by extra; the base is the server's.

    Args:
        installed: Name, as :func:`canonicalize_name` has it, to version.
    """
    wrong: dict[str, list[str]] = defaultdict(list)
    for line in needed:
        requirement = Requirement(line)
        for group in _GROUPS:
            if not _is_of(requirement, group):
                continue
            version = installed.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version):
                wrong[group].append(f"{requirement.name}{requirement.specifier}")
            break
    return wrong


def _is_of(requirement: Requirement, group: str) -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({"extra": group})


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Look for settings that are missing, malformed, misspelt or open to others."""
    for name, value in (
        ("DATABASE_URL", settings.database_url),
        ("BROKER_URL", settings.broker_url),
        ("SECRET_KEY", settings.secret_key),
    ):
        if not value:
            yield fail(PREFIX + name, *_unset(name))
    for name, told in (("API_URL", settings.api_url), ("API_KEY", settings.api_key)):
        if not told:
            yield warn(PREFIX + name, *_unset(name))
    if settings.secret_key:
        try:
            settings.keys()
        except ConfigurationError as error:
            yield fail(
                "ASSAY_SECRET_KEY", error.message, "set it to k1:<64 hex digits>"
            )
    for name in unknown_settings():
        yield warn(name, "is no setting", "see the table of settings in README.md")
    yield _env_file(env_file())


def _unset(name: str) -> tuple[str, str]:
    try:
        require(None, name)
    except ConfigurationError as error:
        _, _, remedy = error.message.partition("; ")
        return "is not set", remedy
    raise AssertionError(name)


def _env_file(path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ok("settings", "are read from the environment alone")
    except OSError as error:
        remedy = "run this as the user of assay up, or set the variables"
        return warn("settings", f"{path} cannot be read: {error.strerror}", remedy)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        detail = f"{path} holds keys, and others may open it"
        return warn("settings", detail, f"chmod 600 {path}")
    return ok("settings", f"are read from the environment, then from {path}")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Connect, compare the clocks, and ask what the database knows of everything."""
    if not settings.database_url:
        return
    database: Database | None = None
    try:
        url = settings.database_url.get_secret_value()
        direct_url = settings.direct_url()
        database = Database(url, direct_url=direct_url, pool_size=1)
        sessions = _sessions(url, direct_url)
        yield sessions
        if sessions.level is Level.FAIL:
            return
        yield _clock(database)
        yield from diagnose(database, lease=settings.limits().lease)
    except (DBAPIError, psycopg.Error) as error:
        detail = _first_line(getattr(error, "orig", None) or error)
        hint = find_hint(error)
        remedy = "see that PostgreSQL runs and that ASSAY_DATABASE_URL is right"
        yield fail("database", detail, hint.remedy if hint else remedy)
    except (ArgumentError, ValueError, ImportError):
        example = "postgresql+psycopg://user:password@host/assay"
        yield fail("database", "ASSAY_DATABASE_URL cannot be read", f"write {example}")
    finally:
        if database is not None:
            database.close()


def _sessions(url: str, direct_url: str | None) -> Finding:
    try:
        refuse_shared_sessions(
            driver_url(url), None if direct_url is None else driver_url(direct_url)
        )
    except ConfigurationError as error:
        what, _, remedy = error.message.partition("; ")
        return fail("pooler", what, remedy)
    return ok("pooler", "sessions are our own where they have to be")


def _clock(database: Database) -> Finding:
    with database.engine.connect() as connection:
        # The one place where a host's clock is of interest.
        before = datetime.now(UTC)  # noqa: TID251
        theirs = connection.execute(select(func.clock_timestamp())).scalar_one()
        after = datetime.now(UTC)  # noqa: TID251
    ahead = certain_skew(theirs, asked=before, answered=after)
    where, skew = ("ahead of" if ahead > timedelta() else "behind"), abs(ahead)
    detail = f"this host is {skew.total_seconds():.1f} s {where} the database"
    if skew < SKEW_WARN:
        return ok("clock", detail)
    level = warn if skew < _SKEW_FAIL else fail
    return level("clock", detail, "let both keep time by NTP")


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Ask the broker how much waits in ``reports``, and whose its queues are."""
    if not settings.broker_url:
        return
    url = settings.broker_url.get_secret_value()
    try:
        publisher = Publisher(url)
        waiting = publisher.report_backlog()
        yield _report_backlog(waiting)
        if not is_rabbitmq(url):
            yield _eviction(url)
        yield from _queues(publisher, settings)
        publisher.close()
    except BrokerError as error:
        remedy = "see that the broker runs and that ASSAY_BROKER_URL is right"
        yield fail("broker", _first_line(error), remedy)
    except ConfigurationError as error:
        yield fail("broker", error.message, "write redis://… or amqp://…")


def _report_backlog(waiting: int) -> Finding:
    detail = f"it answers; {waiting} reports wait to be read"
    if waiting < _REPORTS_MANY:
        return ok("broker", detail)
    return warn("broker", detail, "see that a consumer runs: assay consume")


def _eviction(url: str) -> Finding:
    with broker_errors(url):
        policy = redis_client(url).info("memory").get("maxmemory_policy")
    if policy in {None, "noeviction"}:
        return ok("broker memory", "what is queued is never evicted")
    detail = f"when Redis is full it drops queues (maxmemory-policy {policy})"
    return warn("broker memory", detail, "CONFIG SET maxmemory-policy noeviction")


def _queues(publisher: Publisher, settings: Settings) -> Iterator[Finding]:
    found = publisher.find_foreign(_workers_of(settings))
    if not found:
        yield ok("queues", "none is another program's")
    for queue in found:
        detail = f"it has {queue.present}, not {queue.wanted}"
        yield fail(queue.what, detail, queue.remedy)


def _workers_of(settings: Settings) -> list[str]:
    """Return the workers, as far as the database can be asked."""
    if not settings.database_url:
        return []
    try:
        url, direct_url = settings.database_url, settings.direct_url()
        database = Database(url.get_secret_value(), direct_url=direct_url, pool_size=1)
        with database.uow() as tx:
            names = [row.short_name for row in list_workers(tx) if not row.is_deleted]
        database.close()
    except (DBAPIError, ArgumentError, ValueError, ImportError):
        return []
    return names


def check_store(settings: Settings) -> Iterator[Finding]:
    """Write into the sample store, and take it away again."""
    url = settings.sample_store_url()
    folder = folder_of(url)
    if folder is not None and not folder.exists():
        # Opening it would make it, and make it this user's.
        detail = f"there is no folder {folder} yet"
        yield warn("samples", detail, "the API makes it when it starts: assay api")
        return
    remedy = "see ASSAY_SAMPLE_STORE, the rights to it and the space left"
    try:
        store = SampleStore.from_url(url)
        received = store.receive([_PROBE], limit_bytes=len(_PROBE))
        store.discard(received)
    except (ConfigurationError, StoreUnavailableError) as error:
        yield fail("samples", _first_line(error.__cause__ or error), remedy)
        return
    where = url.partition("://")[0] if folder is None else folder
    yield ok("samples", f"{where} can be written to")


def check_api(settings: Settings) -> Iterator[Finding]:
    """Ask the API something that needs a key."""
    if not settings.api_url or not settings.api_key:
        return
    remedy = "see that assay api runs; a key comes from assay key create"
    try:
        key = settings.api_key.get_secret_value()
        url = settings.api_url.rstrip("/")
        with Client(url, key, ca_certs=settings.ca_certs) as client:
            client.get("/worker", limit=1)
            troubles = client.troubles()
    except AssayError as error:
        yield fail("api", error.message, remedy)
        return
    yield ok("api", f"{settings.api_url} answers, and knows the key")
    yield _classifier(troubles)


def _classifier(troubles: Sequence[Mapping[str, str]]) -> Finding:
    for trouble in troubles:
        if trouble["what"] == "classifier":
            return warn("classifier", trouble["detail"], trouble["remedy"])
    return ok("classifier", "Magika answers where our own rules are not sure")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

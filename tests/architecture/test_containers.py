"""
The files that containers are made of, as far as can be seen without an engine.

``tests/e2e/test_logs.py`` starts what they start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from orchestrator import cli
from orchestrator.config import read_settings, unknown_settings
from orchestrator.contracts.names import BUNDLED_WORKERS
from tests.fixtures.containers import (
    COMPOSE,
    ENGINE,
    REPLICAS,
    ROOT,
    environment,
    make_secrets,
)
from workers.__main__ import _parser
from workers.cli.loading import get_analyzer
from workers.replica.settings import Settings

OURS = ENGINE | REPLICAS
DOCKERFILE = (ROOT / "Dockerfile").read_text()

#: Long-running, as the README's table has them; ``migrate`` ends.
PROCESSES = {"api", "dispatch", "consume", "beat", "maintain", "deliver", "flower"}


@pytest.fixture(params=["redis", "rabbitmq"])
def secrets(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_secrets(tmp_path, broker=request.param)


def test_every_process_has_a_service_and_every_replica_runs_a_bundled_worker():
    """A bundled worker may have no service."""
    run = {service["command"][1] for service in REPLICAS.values()}

    assert {service["command"][0] for service in ENGINE.values()} == {*PROCESSES, "db"}
    assert run
    assert run <= set(BUNDLED_WORKERS)


@pytest.mark.parametrize("name", sorted(ENGINE))
def test_the_engine_knows_the_command_of_a_service(name: str):
    word, *rest = ENGINE[name]["command"]
    cli._compose(word)
    group: Any = get_command(cli.app)

    for step in (word, *rest):
        assert step in group.commands
        group = group.commands[step]


@pytest.mark.parametrize("name", sorted(REPLICAS))
def test_the_sdk_knows_the_worker_of_a_service(name: str):
    given = _parser().parse_args(REPLICAS[name]["command"])

    assert get_analyzer(given.name).name == given.name


@pytest.mark.parametrize("name", sorted(ENGINE))
def test_the_settings_of_a_service_can_be_read(
    name: str, secrets: Path, monkeypatch: pytest.MonkeyPatch
):
    _become(monkeypatch, environment(ENGINE[name], secrets))

    settings = read_settings()

    assert unknown_settings() == []
    if settings.secret_key is not None:
        assert settings.keys() is not None


@pytest.mark.parametrize("name", sorted(REPLICAS))
def test_the_settings_of_a_replica_can_be_read(name: str, secrets: Path):
    worker = REPLICAS[name]["command"][1]
    (secrets / f"worker_{worker}").write_text(f"of {worker}")
    (secrets / f"broker_{worker}").write_text(f"redis://worker.{worker}@redis/0")

    settings = Settings.read(environment(REPLICAS[name], secrets), worker=worker)

    assert settings.secret == f"of {worker}"
    assert worker in settings.broker_url


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_is_given_no_more_than_it_needs(name: str):
    service = OURS[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["stop_grace_period"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert not service.get("privileged")


def test_replicas_have_no_way_to_the_database_or_out():
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    everything = yaml.safe_load(COMPOSE.read_text())["services"]

    assert networks["workers"]["internal"]
    assert networks["engine"]["internal"]
    assert {tuple(service["networks"]) for service in REPLICAS.values()} == {
        ("workers",)
    }
    assert everything["postgres"]["networks"] == ["engine"]
    assert {
        n for n, service in everything.items() if "outside" in service["networks"]
    } == {
        "api",
        "deliver",
        "flower",
    }


def _size_of(service: dict[str, Any]) -> str:
    (folder,) = service["tmpfs"]
    return str(folder).partition("size=")[2]


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_takes_no_more_than_its_share(name: str):
    """Where slots share a user, nothing inside counts their processes."""
    service = OURS[name]

    assert 0 < service["pids_limit"] <= 512
    assert re.fullmatch(
        r"\$\{ASSAY_(ENGINE|WORKER)_MEMORY:-[24]g\}", service["mem_limit"]
    )
    assert re.fullmatch(r"\d+[mg]", _size_of(service))


def test_no_secret_is_in_an_environment_or_on_a_command_line():
    """They are files; what a file's name says is no secret."""
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|_URL|KEY", variable):
                assert variable.endswith("_FILE") or value == "http://api:8000", name
        assert "${" not in str(service.get("command", "")), name


def test_a_stopping_replica_has_the_time_to_say_so():
    """The default grace, five seconds for what is killed and five to flush."""
    for service in REPLICAS.values():
        assert int(service["stop_grace_period"].removesuffix("s")) > 10 + 5 + 5


def test_images_are_of_the_lock_and_of_nobody():
    final = DOCKERFILE.split("\nFROM ")[-2:]

    assert "--require-hashes" in DOCKERFILE
    assert re.findall(r"pip install (\S+)", DOCKERFILE) == ["--no-index"] * 2
    assert all("\nUSER 10001:10001\n" in stage for stage in final)
    assert {service["build"]["target"] for service in OURS.values()} == {
        stage.split(" AS ")[1].split("\n")[0] for stage in final
    }


def test_the_build_sees_every_file_that_it_copies():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    seen = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for word in line.split()
    }

    assert "*" in ignored
    assert copied == seen
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("profile", ["redis", "rabbitmq"])
def test_compose_reads_the_file(profile: str, tmp_path: Path):
    command = _compose_command()
    done = subprocess.run(
        [*command, "--file", str(COMPOSE), "--profile", profile, "config"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert {profile, *OURS} <= set(yaml.safe_load(done.stdout)["services"])


def _compose_command() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        asked = subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False
        )
        if asked.returncode == 0:
            return ["docker", "compose"]
    missing = "neither docker-compose nor docker's plugin compose is here"
    if os.environ.get("ASSAY_TEST_REQUIRE_COMPOSE") == "1":
        pytest.fail(f"{missing} (ASSAY_TEST_REQUIRE_COMPOSE=1)")
    pytest.skip(missing)


def _become(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("ASSAY_")]:
        monkeypatch.delenv(name)
    for name, value in {"ASSAY_DATA_DIR": "/nonexistent", **values}.items():
        monkeypatch.setenv(name, value)

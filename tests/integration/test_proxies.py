"""
A proxy is for what is elsewhere: of this machine itself nobody asks one.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from typing_extensions import override

from orchestrator.client.failures import NoAnswerError
from orchestrator.client.http import Client
from orchestrator.client.loopback import is_loopback
from orchestrator.domain.values import Role
from orchestrator.embedded.ports import free_port
from orchestrator.embedded.ready import api_client, missing_parts
from tests.fixtures.api import API

ROOT = Path(__file__).parents[2]
_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment name a proxy that is not there, and nothing without it."""
    proxy = f"http://127.0.0.1:{free_port()}"
    for name in _NAMES:
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    monkeypatch.setenv("no_proxy", "elsewhere.example")


def _port(api: API) -> int | None:
    return httpx.URL(api.url).port


@pytest.mark.usefixtures("dead_proxy")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_the_command_line_reaches_this_machine_whatever_proxy_is_set(
    api: API, host: str
):
    answer = subprocess.run(
        [sys.executable, "-m", "orchestrator", "job", "list", "--json"],
        env={
            **os.environ,
            "ASSAY_API_URL": f"http://{host}:{_port(api)}",
            "ASSAY_API_KEY": api.key(Role.VIEWER),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr
    assert isinstance(json.loads(answer.stdout), list)


def test_elsewhere_is_reached_through_the_proxy(monkeypatch: pytest.MonkeyPatch):
    asked = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test's output is the test's."""

    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        thread = threading.Thread(target=proxy.handle_request)
        thread.start()
        elsewhere = Client("http://assay.example:8000", "key")
        with elsewhere as client, pytest.raises(NoAnswerError):
            client.get("/job")
        thread.join()

    assert asked == ["http://assay.example:8000/sampledb/v2/job"]


@pytest.mark.usefixtures("dead_proxy")
def test_the_probe_of_a_stack_asks_no_proxy(api: API, api_database_url: str):
    with api_client(api.url) as client:
        assert "the API" not in missing_parts(client, api_database_url, [])


@pytest.mark.usefixtures("dead_proxy")
def test_the_checks_of_containers_ask_no_proxy(api: API):
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    checks = [
        service.get("healthcheck", {}).get("test", []) for service in services.values()
    ]
    programs = [check[3] for check in checks if check[:3] == ["CMD", "python", "-c"]]
    assert len(programs) >= 2
    for program in programs:
        here = re.sub(
            r"127\.0\.0\.1:\d+/\w+", f"127.0.0.1:{_port(api)}/health", program
        )
        here = here.replace("/health/live", "/health").replace(
            "/health", "/health/live"
        )
        subprocess.run([sys.executable, "-c", here], check=True)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("127.0.0.1", True),
        ("127.255.1.2", True),
        ("127.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),  # noqa: S104
        ("10.0.0.1", False),
        ("128.0.0.1", False),
        ("::2", False),
        ("localhost.example", False),
        ("127.example", False),
        ("", False),
    ],
)
def test_what_this_machine_is(host: str, is_here: bool):  # noqa: FBT001
    assert is_loopback(host) is is_here


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    names = {"Client", "AsyncClient", "get", "post", "put", "request", "stream"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            whose = node.func.value
            is_httpx = isinstance(whose, ast.Name) and whose.id == "httpx"
            if is_httpx and node.func.attr in names:
                yield node


def test_every_client_of_http_says_what_it_makes_of_proxies():
    silent = []
    for folder in ("orchestrator", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            for call in _calls(ast.parse(path.read_text())):
                said = {keyword.arg for keyword in call.keywords}
                # One with a transport of its own asks nobody.
                if not said & {"trust_env", "mounts", "transport"}:
                    silent.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert silent == []

"""
HTTPS with an authority of one's own, as ``docs/operations/tls.md`` has it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from orchestrator.client.failures import NoAnswerError
from orchestrator.client.http import Client, connect
from orchestrator.config import read_settings
from orchestrator.deliver.sender import Call, Sender
from orchestrator.domain.addresses import parse_networks
from orchestrator.domain.errors import ConfigurationError
from orchestrator.messaging import policy
from tests.fixtures.authority import Authority
from workers.replica.enrolment import Enrolment, Standing
from workers.replica.settings import Settings as ReplicaSettings
from workers.replica.settings import SettingsError

_ENVELOPE = b'{"responseCode": 200, "data": "yes"}'

UNTRUSTED = "certificate of {url} is not trusted: unable to get local issuer"


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """Of a server that says yes to everything."""

    class Handler(BaseHTTPRequestHandler):
        def _say_yes(self) -> None:
            # What was not read would spoil the connection.
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = _ENVELOPE if self.path.startswith("/sampledb") else b"[]"
            is_worker = self.path.startswith("/internal/worker")
            self.send_response(204 if is_worker else 200)
            self.send_header("Content-Length", "0" if is_worker else str(len(body)))
            self.end_headers()
            if not is_worker:
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = _say_yes  # noqa: N815

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = authority.server_side()
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_client_trusts_the_authority_that_it_is_told_of(
    url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ASSAY_API_URL", url)
    monkeypatch.setenv("ASSAY_API_KEY", "a-key")
    with connect() as client, pytest.raises(NoAnswerError) as refused:
        client.get("/worker")
    monkeypatch.setenv("ASSAY_CA_CERTS", authority.file)

    with connect() as client, client.another() as another:
        assert client.get("/worker") == another.get("/worker") == "yes"
    assert UNTRUSTED.format(url=url) in refused.value.message
    assert "ASSAY_CA_CERTS" in refused.value.message


def test_the_name_has_to_be_the_certificates(url: str, authority: Authority):
    elsewhere = url.replace("localhost", "127.0.0.1")

    with (
        Client(elsewhere, "a-key", ca_certs=authority.file) as client,
        pytest.raises(NoAnswerError, match="IP address mismatch"),
    ):
        client.get("/worker")


def test_a_replica_trusts_it_too_and_says_what_it_does_not_trust(
    url: str, authority: Authority, caplog: pytest.LogCaptureFixture
):
    def standing(ca_certs: str | None) -> Standing:
        return Enrolment(
            api_url=url, worker="pe", secret="s", replica="pe-1", ca_certs=ca_certs
        ).ask()

    assert standing(None) is Standing.UNANSWERED
    assert standing(authority.file) is Standing.ACCEPTED
    (said,) = [vars(record)["hint"] for record in caplog.records]
    assert "is not trusted: unable to get local issuer certificate" in said
    assert "ASSAY_CA_CERTS" in said


def test_rabbitmq_is_managed_by_https(url: str, authority: Authority):
    broker = "amqps://guest:guest@localhost//"
    management = url.replace("https://", "https://name:password@")

    with pytest.raises(ConfigurationError, match=r"not trusted: .*ASSAY_CA_CERTS"):
        policy.apply_to_rabbitmq(broker, management, [])
    policy.apply_to_rabbitmq(broker, management, [], ca_certs=authority.file)


def test_a_webhook_is_called_there(url: str, authority: Authority):
    loopback = parse_networks("127.0.0.0/8,::1/128")
    call = Call(
        url=url,
        message_id="1",
        body="{}",
        secrets=["whsec_" + "a" * 32],
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    refused = Sender(allowed=loopback, at_once=1).send(call)
    taken = Sender(allowed=loopback, at_once=1, ca_certs=authority.file).send(call)

    assert refused.status is None
    assert taken.status == 200


@pytest.mark.parametrize(("content", "why"), [(None, "no file"), ("x", "no certif")])
def test_a_file_without_certificates_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, why: str
):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    given = {
        "ASSAY_CA_CERTS": str(file),
        "ASSAY_API_URL": "https://assay.example",
        "ASSAY_API_KEY": "a-key",
        "ASSAY_BROKER_URL": "redis://127.0.0.1/0",
        "ASSAY_WORKER_SECRET": "secret",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"^ASSAY_CA_CERTS: .*{why}"):
        read_settings()
    with pytest.raises(ConfigurationError, match=f"^ASSAY_CA_CERTS: .*{why}"):
        connect()
    with pytest.raises(SettingsError, match=f"^ASSAY_CA_CERTS: .*{why}"):
        ReplicaSettings.read(given, worker="pe")

from __future__ import annotations

import pytest

from orchestrator.config import read_settings
from orchestrator.domain.errors import ConfigurationError
from workers.replica.settings import Settings, SettingsError

SECRET = "pa55word"
BROKER = [
    (f"redis://:{SECRET}@h:1/0?db=1", "db"),
    (f"redis://:{SECRET}@h:1/0?ssl_ca_certs=/dev/null", "ssl_ca_certs"),
    (f"rediss://:{SECRET}@h:1/0?ssl_ca_cert=/dev/null", "ssl_ca_cert"),
    (f"rediss://:{SECRET}@h:1/0?ssl_ca_certs=/nowhere/ca.pem", "/nowhere/ca.pem"),
    (f"rediss://:{SECRET}@h:1/0?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
    (f"rediss://:{SECRET}@h:1/0?ssl_cert_reqs=", "ssl_cert_reqs"),
    (f"rediss://:{SECRET}@h:1/0?ssl_check_hostname=no", "ssl_check_hostname"),
    (f"amqps://u:{SECRET}@h:1//?cacertfile=/x", "cacertfile"),
    (f"amqps://u:{SECRET}@h:1//?ssl_keyfile=/nowhere/key", "/nowhere/key"),
    (f"amqp://u:{SECRET}@h:1//?heartbeat=5", "heartbeat"),
    (f"redis+socket:///s?password={SECRET}&db=1", "db"),
]
DATABASE = [
    ("sslmodee=require", "sslmodee"),
    ("sslmode=full", "sslmode"),
    ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
    ("ssl_ca_certs=/x", "ssl_ca_certs"),
]


@pytest.mark.parametrize(("url", "named"), BROKER)
def test_a_wrong_option_of_the_broker_is_named_at_the_start(
    url: str, named: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ASSAY_BROKER_URL", url)
    with pytest.raises(ConfigurationError) as ours:
        read_settings()
    environment = {
        "ASSAY_BROKER_URL": url,
        "ASSAY_API_URL": "http://h",
        "ASSAY_WORKER_SECRET": "s",
    }
    with pytest.raises(SettingsError) as replicas:
        Settings.read(environment, worker="w")

    for text in (ours.value.message, str(replicas.value)):
        assert text.startswith("ASSAY_BROKER_URL: ")
        assert named in text
        assert "\n" not in text
        assert SECRET not in text


@pytest.mark.parametrize(("query", "named"), DATABASE)
def test_a_wrong_option_of_the_database_is_named_at_the_start(
    query: str, named: str, monkeypatch: pytest.MonkeyPatch
):
    url = f"postgresql+psycopg://u:{SECRET}@h/db?{query}"
    monkeypatch.setenv("ASSAY_DATABASE_URL", url)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()

    assert caught.value.message.startswith("ASSAY_DATABASE_URL: ")
    assert named in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("BROKER", "redis://:p?w@h/0"),
        ("BROKER", "rediss://h/0?ssl_ca_certs=/dev/../etc/hostname&ssl_cert_reqs=none"),
        ("BROKER", "amqps://u:p@h//?ssl_check_hostname=false"),
        ("BROKER", "redis+socket:///s?virtual_host=0&password=x"),
        ("DATABASE", "postgresql+psycopg://u:p?w&x=y@h/db"),
        (
            "DATABASE",
            "postgresql+psycopg://h/db?sslmode=verify-full&sslrootcert=system",
        ),
        ("DATABASE", "postgresql+psycopg:///db?host=/tmp/socket&port=5"),
    ],
)
def test_what_there_is_is_taken(
    setting: str, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(f"ASSAY_{setting}_URL", url)

    read_settings()

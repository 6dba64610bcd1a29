from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.contracts import names
from workers import Analysis, Analyzer, Sample
from workers.replica import local
from workers.replica.app import build_app, new_replica_id
from workers.replica.settings import Settings, SettingsError
from workers.replica.sources import Host, Sources

COMPLETE = {
    "ASSAY_BROKER_URL": "redis://127.0.0.1:1/0",
    "ASSAY_API_URL": "http://127.0.0.1:1",
    "ASSAY_WORKER_SECRET": "secret",
}


def read(**changes: str) -> Settings:
    return Settings.read({**COMPLETE, **changes}, worker="length")


@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_a_missing_setting_is_named_with_its_remedy(name):
    with pytest.raises(SettingsError, match=rf"^{name} is not set; set it, "):
        read(**{name: ""})


@pytest.mark.parametrize("text", ["x", "-1", "0"])
@pytest.mark.parametrize("name", ["ASSAY_HEARTBEAT_SECONDS", "ASSAY_WORKER_SLOTS"])
def test_a_number_that_makes_no_sense_is_named(name, text):
    with pytest.raises(SettingsError, match=name):
        read(**{name: text})


def test_no_grace_at_all_is_a_choice():
    assert read(ASSAY_STOP_GRACE_SECONDS="0").stop_grace_seconds == 0


@pytest.mark.parametrize("name", ["ASSAY_BROKER_URL", "ASSAY_WORKER_SECRET"])
def test_a_secret_may_stand_in_a_file(name: str, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")

    found = read(**{name: "", f"{name}_FILE": str(secret)})

    assert "from a file" in {found.broker_url, found.secret}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\xff", "is not UTF-8"), (b" \n", "is empty")],
)
def test_a_secret_file_that_says_nothing_is_named(content, reason, tmp_path: Path):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SettingsError, match=f"ASSAY_WORKER_SECRET_FILE.*{reason}"):
        read(ASSAY_WORKER_SECRET_FILE=str(file))


def test_settings_never_show_the_secret_or_the_broker_password():
    shown = repr(read(ASSAY_BROKER_URL="redis://:hidden@127.0.0.1/0"))

    assert "secret" not in shown.replace("stop_grace_seconds", "")
    assert "hidden" not in shown


@pytest.mark.parametrize(("text", "on"), [("", True), ("no", False), ("1", True)])
def test_task_events_are_on_unless_turned_off(text, on):
    assert read(ASSAY_WORKER_EVENTS=text).events is on


def test_a_replica_consumes_one_queue_and_nothing_else():
    app = build_app(_length(), read())

    assert list(app.amqp.queues) == ["worker.length"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("worker_pool", "threads"),
        ("accept_content", ["json"]),
        ("result_backend", None),
        ("broker_connection_max_retries", None),
    ],
)
def test_the_settings_that_the_design_depends_on_hold(setting, value):
    assert build_app(_length(), read()).conf[setting] == value


def test_on_rabbitmq_the_queue_is_a_quorum_queue():
    settings = read(ASSAY_BROKER_URL="amqp://guest:guest@127.0.0.1/x")
    app = build_app(_length(), settings)

    expected = names.worker_queue("length", rabbitmq=True).queue_arguments
    assert app.amqp.queues["worker.length"].queue_arguments == expected
    # Events and answers to questions are not worth waiting for.
    assert "confirm_publish" not in app.conf.broker_transport_options


def test_no_two_replicas_have_the_same_name():
    assert new_replica_id("length") != new_replica_id("length")


def _length() -> Analyzer:
    def length(sample: Sample) -> Analysis:
        return Analysis(score=-1, result=sample.size)

    return Analyzer(name="length", version="1", function=length, module=__name__)


def test_without_settings_nothing_but_the_api_is_read_from():
    assert read().sources == Sources()


def test_several_folders_stand_between_colons():
    found = read(ASSAY_SAMPLE_ROOT="/srv/a:b/samples:/srv/more")

    assert found.sources.roots == (Path("/srv/a:b/samples"), Path("/srv/more"))


def test_hosts_stand_between_commas():
    found = read(ASSAY_SAMPLE_HOSTS="Bucket.example, minio:9000,[::1]:9000,[::2]")

    assert found.sources.hosts == (
        Host("bucket.example"),
        Host("minio", 9000),
        Host("::1", 9000),
        Host("::2"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASSAY_SAMPLE_ROOT", "samples"),
        ("ASSAY_SAMPLE_ROOT", "/"),
        ("ASSAY_SAMPLE_HOSTS", "https://bucket.example"),
        ("ASSAY_SAMPLE_HOSTS", "*.example"),
        ("ASSAY_SAMPLE_HOSTS", "user@bucket.example"),
        ("ASSAY_SAMPLE_HOSTS", "bucket.example/path"),
        ("ASSAY_SAMPLE_HOSTS", "bucket.example:port"),
        ("ASSAY_SAMPLE_HOSTS", "bucket.example:99999"),
        ("ASSAY_SAMPLE_HOSTS", "a b"),
    ],
)
def test_a_place_that_is_none_is_named(name: str, value: str):
    with pytest.raises(SettingsError, match=rf"^{name}: .+set it"):
        read(**{name: value})


@pytest.mark.parametrize("text", ["0", "-3", "0.5", "nan", "inf", "1025", "two"])
def test_a_number_of_slots_that_is_none_is_refused(text: str):
    with pytest.raises(SettingsError, match=r"^ASSAY_WORKER_SLOTS .+ from 1 to 1024"):
        read(ASSAY_WORKER_SLOTS=text)


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_seconds_have_an_end(text: str):
    with pytest.raises(SettingsError, match="ASSAY_HEARTBEAT_SECONDS"):
        read(ASSAY_HEARTBEAT_SECONDS=text)


def test_a_stack_that_does_not_answer_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    (tmp_path / "env").write_text("ASSAY_API_URL=http://127.0.0.1:1\n")

    with pytest.raises(SettingsError, match=r"did not enrol length within 0\.01 s"):
        local.completed({}, worker="length")

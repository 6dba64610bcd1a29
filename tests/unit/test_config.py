from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import Settings, read_settings, unknown_settings
from orchestrator.domain.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "BROKER_URL", "SECRET_KEY", "API_KEY", "FLOWER_PASSWORD"]
)
def test_a_secret_may_stand_in_a_file(name, monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv(f"ASSAY_{name}_FILE", str(tmp_path / "secret"))

    settings = read_settings()

    assert getattr(settings, name.lower()).get_secret_value() == "from a file"
    assert unknown_settings() == []


def test_what_is_no_secret_is_not_looked_for_in_a_file(monkeypatch):
    monkeypatch.setenv("ASSAY_API_HOST_FILE", "/nowhere")

    assert read_settings().api_host == Settings.model_fields["api_host"].default
    assert unknown_settings() == ["ASSAY_API_HOST_FILE"]


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"\xff", "is not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_named(content, reason, monkeypatch, tmp_path):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ASSAY_BROKER_URL_FILE", str(file))

    with pytest.raises(ConfigurationError, match="ASSAY_BROKER_URL_FILE") as caught:
        read_settings()

    assert reason in caught.value.message

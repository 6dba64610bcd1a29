"""
Where the API is, and the key: all that a client has to be told.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.contracts.data_dir import env_file, read_lines
from orchestrator.contracts.https import CA_CERTS, check_certificates
from orchestrator.domain.errors import ConfigurationError

_URL = "ASSAY_API_URL"
_KEY = "ASSAY_API_KEY"

#: What to write for each.
_EXAMPLES = {
    _URL: "http://127.0.0.1:8000",
    _KEY: "a key printed by `assay key create`",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSettings:
    """
    What a client of the HTTP API needs.

    ``ca_certs``: a file of authorities that are trusted beside the public ones.
    """

    api_url: str
    api_key: str = field(repr=False)
    ca_certs: str | None = None


def client_settings() -> ClientSettings:
    """
    Return the settings of the environment; what it does not say, of ``assay up``.

    Raises:
        ConfigurationError: One of them is unset; the message says how to set it.
    """
    return ClientSettings(
        api_url=_read(_URL).rstrip("/"), api_key=_read(_KEY), ca_certs=_ca_certs()
    )


def _ca_certs() -> str | None:
    file = os.environ.get(CA_CERTS)
    if not file:
        return None
    try:
        check_certificates(file)
    except ValueError as error:
        raise ConfigurationError(f"{CA_CERTS}: {error}", field=CA_CERTS) from None
    return file


def _read(name: str) -> str:
    given = os.environ.get(name) or _of_file(f"{name}_FILE")
    found = given or read_lines(env_file()).get(name)
    if not found:
        raise ConfigurationError(
            f"{name} is not set; export {name}={_EXAMPLES[name]}"
            " (or run `assay up`, which writes it for every command)",
            field=name,
        )
    return found


def _of_file(variable: str) -> str | None:
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8" if isinstance(error, ValueError) else error.strerror
        raise ConfigurationError(
            f"{variable}: {path}: {reason}", field=variable
        ) from None

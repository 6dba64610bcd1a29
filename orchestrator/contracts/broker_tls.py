"""
What a broker's URL says of TLS, for both sides: the options that there are, and what
each library makes of them.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

_TLS = ("rediss://", "amqps://")
_SOCKET = "redis+socket://"
_SOCKET_OPTIONS = frozenset({"username", "password", "virtual_host"})

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_REQUIREMENTS: Final = {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}
_CHOICES: Final = {
    "ssl_cert_reqs": tuple(_REQUIREMENTS),
    "ssl_check_hostname": ("true", "false"),
}
_TLS_OPTIONS = frozenset({*_FILES, *_CHOICES})


def check_broker_options(url: str) -> None:
    """
    Refuse an option in a broker's URL that nobody obeys, or that names no file.

    Raises:
        ValueError: The message names the option, and never the rest of the URL.
    """
    if ";" in url:
        raise ValueError("it names one broker; write a ';' in a password as %3B")
    known = _known(url)
    for name, value in url_options(url):
        if name not in known:
            there_are = ", ".join(sorted(known)) or "none with this kind of URL"
            raise ValueError(f"there is no option '{name[:64]}'; there are {there_are}")
        if name in _FILES and not Path(value).is_file():
            raise ValueError(f"{name}: there is no file {value[:256]!r}")
        choices = _CHOICES.get(name, (value,))
        if value not in choices:
            raise ValueError(f"{name}: write {' or '.join(choices)}")


def url_options(url: str) -> list[tuple[str, str]]:
    """Return the options of a URL; what stands before an ``@`` may be a password."""
    _, _, query = url.rpartition("@")[2].partition("?")
    return parse_qsl(query, keep_blank_values=True)


def kombu_tls(url: str) -> tuple[str, dict[str, Any]]:
    """
    Return a broker's URL as kombu needs it, and what its ``Connection`` needs beside.

    Of a ``rediss`` URL without options kombu trusts whoever answers; and the options of
    RabbitMQ it hands on by names that RabbitMQ's library has not.
    """
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        mark = "&" if "?" in url else "?"
        return f"{url}{mark}ssl_cert_reqs=required", {}
    if not url.startswith("amqps://"):
        return url, {}
    bare, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    files = {
        name.removeprefix("ssl_"): value
        for name, value in options.items()
        if name in _FILES
    }
    requirement = _REQUIREMENTS[options.get("ssl_cert_reqs", "required")]
    is_checked = options.get("ssl_check_hostname", "true") == "true"
    # With a name to expect, the certificate must have it.
    has_name = is_checked and requirement is not ssl.CERT_NONE
    expected = {"server_hostname": urlsplit(bare).hostname} if has_name else {}
    return bare, {"ssl": {"cert_reqs": requirement, **files, **expected}}


def _known(url: str) -> frozenset[str]:
    if url.startswith(_TLS):
        return _TLS_OPTIONS
    return _SOCKET_OPTIONS if url.startswith(_SOCKET) else frozenset()

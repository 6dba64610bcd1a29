"""
Whom those trust that speak HTTPS: the public authorities, and one's own.

The broker and the database have options of their own in their URLs. It opens nothing
but the file of certificates.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

#: The setting, of all that speak HTTPS; for what is said of it.
CA_CERTS = "ASSAY_CA_CERTS"


def check_certificates(file: str) -> None:
    """
    Refuse a file that holds no certificate.

    Raises:
        ValueError: The message names the file, and says what is wrong with it.
    """
    if not Path(file).is_file():
        raise ValueError(f"there is no file {file[:256]!r}")
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ValueError):
        raise ValueError(
            f"{file[:256]!r} holds no certificate that can be read; write the"
            " authority's there, as PEM"
        ) from None


def trusting(ca_certs: str | None, *, trust_env: bool = False) -> ssl.SSLContext:
    """
    Return what checks the certificates of servers.

    Args:
        ca_certs: A file of more authorities, beside the public ones.
        trust_env: Whether ``SSL_CERT_FILE`` may name others in the place of those.
    """
    context = httpx.create_ssl_context(trust_env=trust_env)
    if ca_certs is not None:
        context.load_verify_locations(cafile=ca_certs)
    return context


def why_untrusted(error: BaseException) -> str | None:
    """Return what is wrong with a server's certificate, if *error* came of that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")
        cause = cause.__cause__ or cause.__context__
    return None

"""
E-mail and web archives by their header: names with colons until the first empty line.
"""

from __future__ import annotations

import re

from orchestrator.classify.kinds import kind
from orchestrator.contracts.assignment import Classification

#: A line of a header, or one that continues it; mailboxes begin with a line of theirs.
_FIELD = re.compile(r"([A-Za-z][\w.-]{0,63})[ \t]?:(?:[ \t]|$)")
_MAILBOX = re.compile(r"From \S+@?\S* +[A-Z][a-z]{2} [A-Z][a-z]{2} ")
#: A line continues with a space; more of them than these are no header.
_LINES = 400

#: Fields that only what was sent has, and what they then contain.
_SENT = re.compile(
    r"(?im)^(?:received:\s(?:from|by)\b|received:[ \t]*$|message-id:\s*<[^>\s]{3,}>"
    r"|return-path:\s*<|delivered-to:\s*\S+@|dkim-signature:\s|x-mailer:\s"
    r"|x-received:\sby\b|x-originating-ip:\s|x-unsent:\s|mime-version:\s*1\.0)"
)
_ADDRESSED = re.compile(r"(?im)^(?:from|to|cc|bcc|sender|reply-to):.*\S@\S")
_FIELDS_OF_MAIL = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date",
        "message-id", "received", "return-path", "delivered-to", "mime-version",
        "content-type", "in-reply-to", "references",
    }
)  # fmt: skip
_LEAST_FIELDS = 3

#: Office opens a web archive though rubbish stands before its header.
_WEB_ARCHIVE_CHARACTERS = 4096
_MIME_VERSION = re.compile(r"(?im)^mime-version\s*:")
_RELATED = re.compile(r"(?i)content-type\s*:\s*multipart/related")
_MULTIPART = re.compile(r"(?i)content-type\s*:\s*multipart/")
_TRAVELLED = re.compile(r"(?im)^(?:received|to|delivered-to|return-path|message-id):")


def find_mail(text: str) -> Classification | None:
    """Return whether this is a message, or a web page kept in the form of one."""
    header = _header(text)
    if not _TRAVELLED.search(header or text[:_WEB_ARCHIVE_CHARACTERS]):
        beginning = text[:_WEB_ARCHIVE_CHARACTERS]
        if _MIME_VERSION.search(beginning) and _RELATED.search(beginning):
            return kind("mht", "document", "multipart/related")
    if header is not None and _is_of_mail(header):
        return kind("eml", "document", "message/rfc822")
    return None


def _header(text: str) -> str | None:
    """Return the header, as far as it is seen; nothing where other lines come first."""
    lines = text.lstrip("\r\n").split("\n", _LINES)[:_LINES]
    if lines and _MAILBOX.match(lines[0]):
        lines = lines[1:]
    header: list[str] = []
    for line in (ended.rstrip("\r") for ended in lines):
        if not line:
            break
        continued = line[0] in " \t" and header
        if not continued and not _FIELD.match(line):
            return None
        header.append(line)
    return "\n".join(header) or None


def _is_of_mail(header: str) -> bool:
    names = {
        found.group(1).lower()
        for line in header.split("\n")
        if (found := _FIELD.match(line))
    }
    known = len(names & _FIELDS_OF_MAIL)
    if "mime-version" in names and _MULTIPART.search(header):
        return True
    if _SENT.search(header):
        return known >= _LEAST_FIELDS or "subject" in names
    addressed = len(_ADDRESSED.findall(header)) + ("date" in names) + ("to" in names)
    return known >= _LEAST_FIELDS and "from" in names and addressed >= 2

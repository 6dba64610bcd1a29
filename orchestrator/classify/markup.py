"""
Text with a root: HTML, and XML by the name and the namespaces of its root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.classify.kinds import kind
from orchestrator.classify.zips import office_mime_type
from orchestrator.contracts.assignment import Classification

_HTML = re.compile(
    r"(?i)<(?:!doctype\s+html|(?:html|head|body|script|title|meta|style|link|base"
    r"|iframe|frameset|table|div|span|center|form|font|img|h[1-6]|p|br|hr|a\s+href"
    r"|marquee|object|applet|embed|noscript|hta:application)(?=[\s>/=]))"
)
_HTA = re.compile(r"(?i)<hta:application\b")
#: Pages that a server runs begin with a directive, small ones with what they do.
_ASP = re.compile(
    r"(?i)<%@\s*(?:page|language|import|control|webhandler|webservice|codepage|include"
    r"|taglib|application|assembly|master)\b"
    r"|<%\s*(?:eval|execute|executeglobal|response|request|server|dim|option|set)\b"
)
_PHP = re.compile(r"(?i)<\?(?:php\b|=)")
_XML_DECLARATION = re.compile(r"<\?xml\b")
_ROOT = re.compile(r"<(?:[\w.-]{1,64}:)?([\w.-]{1,64})(?=[\s>/])")
#: Namespaces of flat OpenDocument fill some kilobytes.
_ROOT_CHARACTERS = 8 * 1024

_FLAT_ODF = re.compile(
    r"mimetype\s*=\s*[\"'](application/vnd\.oasis\.opendocument\.[a-z-]{1,40})"
)
_XML = ("xml", "document", "text/xml")
_SCRIPTLET = ("script", "script", "text/scriptlet")
#: (name of the root in small letters, what its tag contains) of what has a name.
_ROOTS: Mapping[str, tuple[tuple[str, tuple[str, str, str]], ...]] = {
    "worddocument": (
        ("office/word/2003/wordml", ("xml", "document", "application/vnd.ms-wordml")),
    ),
    "workbook": (
        (
            "schemas-microsoft-com:office:spreadsheet",
            ("xml", "document", "application/vnd.ms-spreadsheetml"),
        ),
    ),
    "visiodocument": (("", ("xml", "document", "application/vnd.visio")),),
    "svg": (("", ("svg", "image", "image/svg+xml")),),
    "html": (("", ("html", "document", "application/xhtml+xml")),),
    "xdp": (("ns.adobe.com/xdp", ("xml", "document", "application/vnd.adobe.xdp+xml")),),
    "xfdf": (("", ("xml", "document", "application/vnd.adobe.xfdf")),),
    "stylesheet": (("xsl/transform", ("xml", "document", "application/xslt+xml")),),
    "job": (("", ("script", "script", "text/x-wsf")),),
    "scriptlet": (("", _SCRIPTLET),),
    "pcsettings": (("", ("xml", "document", "application/x-ms-settingcontent")),),
    "librarydescription": (("", ("xml", "document", "application/x-ms-library")),),
    "persistedquery": (("", ("xml", "document", "application/x-ms-search")),),
    "jnlp": (("", ("xml", "document", "application/x-java-jnlp-file")),),
    "rss": (("", ("xml", "document", "application/rss+xml")),),
    "feed": (("2005/atom", ("xml", "document", "application/atom+xml")),),
    "kml": (("", ("xml", "document", "application/vnd.google-earth.kml+xml")),),
    "gpx": (("", ("xml", "document", "application/gpx+xml")),),
    "plist": (("", ("xml", "document", "application/x-plist")),),
    "fictionbook": (("", ("xml", "document", "application/x-fictionbook+xml")),),
}  # fmt: skip
#: What a ``package`` or a ``component`` holds decides whether it is a script.
_SCRIPT_PARTS = re.compile(r"(?i)<(?:job|script|registration)\b")


def find_markup(text: str) -> Classification | None:
    """Return what HTML or XML this is; other text is neither."""
    beginning = _after_comments(text)
    if not beginning.startswith("<"):
        return None
    if _PHP.match(beginning):
        return kind("script", "script", "text/x-php")
    if _ASP.match(beginning):
        return kind("script", "script", "text/asp")
    if _HTML.match(beginning):
        return _html(text)
    declared = _XML_DECLARATION.match(beginning) is not None
    found = _by_root(_after_prolog(beginning))
    return found or (kind(*_XML) if declared else None)


def _html(text: str) -> Classification:
    if _HTA.search(text):
        return kind("hta", "script", "application/hta")
    if re.search(r"<\?php\b", text):
        return kind("script", "script", "text/x-php")
    return kind("html", "document", "text/html")


def _by_root(text: str) -> Classification | None:
    root = _ROOT.match(text)
    if root is None:
        return None
    tag = text[: text.find(">", 0, _ROOT_CHARACTERS) + 1] or text[:_ROOT_CHARACTERS]
    name = root.group(1).lower()
    if name in {"package", "component"}:
        return _package(text, tag)
    if name == "document" and "opendocument:xmlns:office" in tag:
        return _flat_odf(tag)
    for mark, found in _ROOTS.get(name, ()):
        if mark in tag.lower():
            return kind(*found)
    return None


def _package(text: str, tag: str) -> Classification | None:
    if "office/2006/xmlPackage" in tag:
        mime = office_mime_type(text) or "application/vnd.ms-office"
        return kind("ooxml", "document", mime)
    if not _SCRIPT_PARTS.search(text):
        return None
    return kind("script", "script", "text/x-wsf")


def _flat_odf(tag: str) -> Classification:
    found = _FLAT_ODF.search(tag)
    mime = found.group(1) if found else "application/vnd.oasis.opendocument.text"
    return kind("odf", "document", f"{mime}-flat-xml")


def _after_prolog(text: str) -> str:
    """Go past the declaration, instructions, comments and the document's type."""
    while text.startswith(("<?", "<!")):
        if text.startswith("<!--"):
            end = "-->"
        elif text.startswith("<?"):
            end = "?>"
        else:
            subset = text.partition(">")[0].count("[")
            end = "]>" if subset else ">"
        _, ended, rest = text.partition(end)
        if not ended:
            return ""
        text = rest.lstrip()
    return text


def _after_comments(text: str) -> str:
    # Not by a pattern: a row of comments can be divided in endless many ways.
    text = text.lstrip()
    while text.startswith("<!--"):
        _, end, rest = text.partition("-->")
        if not end:
            break
        text = rest.lstrip()
    return text

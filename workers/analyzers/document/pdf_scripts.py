"""
Judges JavaScript of a PDF: what exploits use, and what Adobe's form designer writes.

Goes by words alone; it runs and decodes nothing.
"""

from __future__ import annotations

import re

_SUSPICIOUS_WORDS = (
    *("eval(", "unescape(", "exportDataObject", "getAnnots", "util.printf"),
    *("Collab.collectEmailInfo", "Collab.getIcon", "media.newPlayer", "spell."),
    *("String.fromCharCode", "app.launchURL", "submitForm", "importDataObject"),
)

#: What designers of forms write is far below; more takes too long to judge by words.
_FORM_CHARACTERS = 64 * 1024
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_$][\w$]*+")
_FOREIGN = re.compile(r"[^\x00-\x7f]|[`/\\]")
#: All that LiveCycle's check of the reader's version is made of. Nobody can do harm
#: with these words, whoever wrote the script.
_FORM_WORDS = frozenset(
    (
        *("ADBE", "Object", "SYSINFO", "LANGUAGE", "app", "this", "typeof", "new"),
        *("if", "else", "true", "false", "var", "xfa_installed", "xfa_version"),
        *("viewerType", "viewerVersion", "platform", "language", "alert", "response"),
        *("getURL", "launchURL", "findComponent", "cType", "cName", "cVer", "cDesc"),
        *("cQuestion", "cDefault", "cTitle", "undefined", "Array"),
    )
)
#: Names of the check's own, and Acrobat's functions that format and add up fields.
_FORM_NAME = re.compile(
    r"(?:Reader|Viewer)_\w{1,64}\Z"
    r"|AF(?:Number|Percent|Date|Time|Special|Simple|Range)\w{0,24}\Z"
)
#: What forms do of themselves: reckon, print, empty fields, turn pages. No word of
#: these opens, sends, asks or evaluates anything.
_FIELD_WORDS = frozenset(
    (
        *("this", "event", "value", "getField", "var", "if", "else", "return", "null"),
        *("true", "false", "undefined", "Number", "parseInt", "parseFloat", "isNaN"),
        *("Math", "round", "floor", "ceil", "abs", "min", "max", "toFixed", "length"),
        *("util", "printd", "printx", "new", "Date", "getFullYear", "getMonth"),
        *("getDate", "getTime", "Array", "rc", "target", "name", "willCommit"),
        *("display", "visible", "hidden", "noView", "noPrint", "readonly", "required"),
        *("resetForm", "setFocus", "isBoxChecked", "checkThisBox", "print", "bUI"),
        *("bSilent", "bShrinkToFit", "bReverse", "nStart", "nEnd", "zoom", "pageNum"),
        *("layout", "zoomType"),
        *("field", "total", "sum", "today", "date", "amount", "price", "result"),
    )
)
#: Names that a script gives have no more letters; no function of Acrobat's has so few.
_DECLARED = re.compile(r"\bvar\s{1,8}([A-Za-z_]\w{0,2})\b")
#: A bracket that picks by name; one that begins a list stands behind a sign.
_PICKED = re.compile(r"[^(=,\s]\s{0,8}\[")
_ADDRESS = re.compile(r"(?i)[a-z]{2,12}:/|\\\\|javascript:")
_ADOBE = re.compile(r"(?i)https?://(?:[a-z0-9-]{1,32}\.){1,4}adobe\.com(?:/|\Z)")


def suspicious_words(source: str) -> list[str]:
    """The functions in *source* that exploits use."""
    return [word.rstrip("(.") for word in _SUSPICIOUS_WORDS if word in source]


def is_form_script(source: str) -> bool:
    """Whether *source* does nothing but what forms do: check the reader, reckon."""
    if len(source) > _FORM_CHARACTERS:
        return False
    for match in _TEXT.finditer(source):
        text = match[0][1:-1]
        if _ADDRESS.search(text) and not _ADOBE.match(text):
            return False
    code = _TEXT.sub("", source)
    # Comments, patterns and escapes are not in it, and would let words be hidden.
    if _FOREIGN.search(code) or _PICKED.search(code):
        return False
    words = set(_WORD.findall(code))
    if words <= _FIELD_WORDS | set(_DECLARED.findall(code)):
        return bool(words)
    if not any(mark in source for mark in ("ADBE", "xfa_version", "AF")):
        return False
    return all(word in _FORM_WORDS or _FORM_NAME.match(word) for word in words)

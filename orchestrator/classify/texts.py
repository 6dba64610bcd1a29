"""
Whether bytes are text, and which: UTF-8, UTF-16 and UTF-32, or an older code page.

It does not say which code page: of text in one only ASCII matters to what follows.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

#: Characters of a text that are looked at: what tells a kind stands at its beginning.
MOST_CHARACTERS = 16 * 1024

_BYTE_ORDER_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
#: Below the space, but what texts do contain.
_CONTROLS = bytes(code for code in range(32) if chr(code) not in "\t\n\r\f\x1b")
_CONTROL_CHARACTERS = re.compile(f"[{re.escape(_CONTROLS.decode())}]")
#: Share of control characters above which characters are not text.
_CONTROL_SHARE = 0.02
_ASCII = bytes(range(0x20, 0x7F)) + b"\t\n\r\f\x1b"

#: Share of ASCII above which bytes without control characters are text as they are:
#: Western pages; of random bytes without any, four in ten are ASCII.
_ASCII_SHARE = 0.7
_LEAST_BYTES = 6
#: Share of letters that other pages must have among what is not ASCII, and the bytes
#: below which chance makes them.
_LETTER_SHARE = 0.95
_LEAST_BYTES_OF_A_PAGE = 32
_SINGLE_BYTE_PAGES = (
    "cp1251", "koi8_r", "cp866", "cp855", "mac_cyrillic", "cp1253", "cp737", "mac_greek",
    "cp1255", "cp862", "cp1256", "cp864", "cp874", "cp1250", "cp1257", "cp1258",
)  # fmt: skip
_DOUBLE_BYTE_PAGES = (
    "euc_jis_2004", "cp949", "gb18030", "big5hkscs", "cp932", "shift_jis_2004", "johab",
)  # fmt: skip
#: How ISO 2022 for Korean begins, and the two controls with which it goes on.
_KOREAN_7_BIT, _KOREAN_SHIFTS = b"\x1b$)C", b"\x0e\x0f"


def _letters(page: str) -> bytes:
    """Return the bytes that are letters or their vowels and accents in a page."""
    chars = {code: bytes([code]).decode(page, "replace") for code in range(0x80, 0x100)}
    return bytes(
        code for code, char in chars.items() if unicodedata.category(char)[0] in "LM"
    )


_LETTERS = {page: _letters(page) for page in _SINGLE_BYTE_PAGES}

#: Share of zeros that make every second byte the upper half of ASCII.
_UPPER_HALF_SHARE = 0.7
#: Without zeros: so many characters, of scripts that people write, chance does not make.
_LEAST_WIDE_CHARACTERS = 20
_LEAST_DIFFERENT_CHARACTERS = 10
_LATIN_LETTERS = re.compile("[\u00a0-\u024f]")
_WIDE_WORDS = re.compile(
    "[\t\n\r -~\u00a0-\u024f\u0370-\u06ff\u0900-\u0e7f\u10a0-\u10ff\u1e00-\u1fff"
    "\u2010-\u2026\u3000-\u30ff\u4e00-\u9fa5\uac00-\ud7a3\uff00-\uffef]"
)
_WORD_CHARACTERS = 1024


def decoded(head: bytes) -> str | None:
    """Return the beginning of a text; nothing if the bytes are none."""
    head = head[: 4 * MOST_CHARACTERS]
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            rest = head[len(mark) :]
            return _strict(rest, "ascii" if _is_plain_ascii(rest) else encoding)
    text = _strict(head, "utf-8")
    if text is None:
        text = _without_mark(head)
    return text if text is not None else _of_a_code_page(head)


def _strict(head: bytes, encoding: str) -> str | None:
    # The head may end within a character, which an incremental decoder keeps back.
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
    text = text[:MOST_CHARACTERS]
    controls = len(_CONTROL_CHARACTERS.findall(text))
    return text if text and controls <= len(text) * _CONTROL_SHARE else None


def _is_plain_ascii(rest: bytes) -> bool:
    # A mark before what is none of its encoding hides a script from readers alone.
    return rest.isascii() and b"\0" not in rest


def _without_mark(head: bytes) -> str | None:
    """Decode UTF-16 or UTF-32 whose byte order nothing tells but the bytes."""
    if len(head) < 4:
        return None
    for encoding in ("utf-32-le", "utf-32-be"):
        text = _strict(head, encoding)
        if text is not None and _is_of_words(text):
            return text
    for encoding, upper in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        text = _strict(head, encoding)
        common = upper.count(0) >= len(upper) * _UPPER_HALF_SHARE
        if text is None:
            continue
        if common or _is_wide(text):
            return text
    return None


def _is_wide(text: str) -> bool:
    """Say whether characters of other scripts than Latin are no small numbers."""
    beginning = text[:_WORD_CHARACTERS]
    return (
        len(beginning) >= _LEAST_WIDE_CHARACTERS
        and len(set(beginning)) >= _LEAST_DIFFERENT_CHARACTERS
        and len(_LATIN_LETTERS.findall(beginning)) <= len(beginning) // 2
        and _is_of_words(beginning)
    )


def _is_of_words(text: str) -> bool:
    beginning = text[:_WORD_CHARACTERS]
    return len(_WIDE_WORDS.findall(beginning)) >= len(beginning) * _LETTER_SHARE


def _of_a_code_page(head: bytes) -> str | None:
    if _KOREAN_7_BIT in head:
        head = head.translate(None, _KOREAN_SHIFTS)
    sample = head[:4096]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls or len(sample) < _LEAST_BYTES:
        return None
    high = sample.translate(None, _ASCII)
    is_western = len(high) <= len(sample) * (1 - _ASCII_SHARE)
    if is_western or _is_of_a_page(sample, high):
        return head[:MOST_CHARACTERS].decode("latin-1")
    return None


def _is_of_a_page(sample: bytes, high: bytes) -> bool:
    if len(sample) < _LEAST_BYTES_OF_A_PAGE:
        return False
    return any(_has_letters_of(high, page) for page in _SINGLE_BYTE_PAGES) or any(
        _reads_as_words_of(sample, page) for page in _DOUBLE_BYTE_PAGES
    )


def _has_letters_of(high: bytes, page: str) -> bool:
    others = high.translate(None, _LETTERS[page])
    return len(others) <= len(high) * (1 - _LETTER_SHARE)


def _reads_as_words_of(sample: bytes, page: str) -> bool:
    text = _strict(sample, page)
    if text is None:
        return False
    return _is_of_words("".join(char for char in text if char > "\x7f"))

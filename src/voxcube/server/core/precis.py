"""Preparation and comparison of international text in logins and passwords (PRECIS: RFC 8264, RFC 8265).

The mappings of the profiles are applied; of what their string classes disallow only control characters are refused, and
only in new logins and passwords. The classes would also refuse spaces and symbols in logins, emoji that are made of
several characters, and what the Unicode version of this Python does not know: accounts have such logins and passwords.
"""

from __future__ import annotations

import unicodedata

#: Longer texts (characters) stay as they are: no login, address or password is that long, and putting a long run of
#: combining marks in their order takes time that grows with its square.
LONGEST = 1024


def prepare_password(text: str) -> str:
    """The form of a password that is hashed and compared: the mappings of OpaqueString (RFC 8265 §4.2).

    Spaces beyond ASCII become U+0020, then NFC. Width and case stay.
    """
    if text.isascii() or len(text) > LONGEST:
        return text
    return unicodedata.normalize("NFC", _with_plain_spaces(text))


def comparison_key(text: str) -> str:
    """What logins, e-mail addresses and names are compared by.

    The mappings of UsernameCaseMapped (RFC 8265 §3.3): full-width and half-width letters become ordinary ones, case is
    dropped, then NFC. Beside them spaces beyond ASCII become U+0020, as in nicknames (RFC 8266 §2), and case is folded
    rather than lowered, as in the keys of older versions: a caseless match by Unicode §3.13, D145.
    """
    if text.isascii() or len(text) > LONGEST:
        return text.casefold()
    mapped = "".join(map(_ordinary_width, _with_plain_spaces(text)))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", mapped).casefold())


def composed_length(text: str) -> int:
    """How many characters a text has in NFC: a decomposed letter counts as one."""
    if text.isascii() or len(text) > LONGEST:
        return len(text)
    return len(unicodedata.normalize("NFC", text))


def has_controls(text: str) -> bool:
    """Whether there are control characters, which both string classes disallow (RFC 8264 §9.12)."""
    return not text.isprintable() and any(unicodedata.category(char) == "Cc" for char in text)


def _with_plain_spaces(text: str) -> str:
    return "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)


def _ordinary_width(char: str) -> str:
    kind, _, code_point = unicodedata.decomposition(char).partition(" ")
    return chr(int(code_point, 16)) if kind in ("<wide>", "<narrow>") else char

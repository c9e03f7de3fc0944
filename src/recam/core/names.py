"""Class names and image ids as people and tools type them.

Names are compared in NFC, without invisible characters, and with every run of blanks as one blank.
Two names that then differ only in case, blanks, hyphens, underscores, quotes or look-alike letters
are spellings of one class. ``background`` is mask id 0 and never a class.
"""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 200  # bytes in UTF-8: with a suffix, a file system takes up to 255
SHOWN = 60  # characters of a name in a message

# Zero-width blanks and joins, soft hyphen, byte order mark, marks of the writing direction. The
# joiners U+200C and U+200D are part of words and emoji.
_INVISIBLE = dict.fromkeys(
    [0xAD, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
_INVISIBLE_CHARACTERS = "".join(map(chr, _INVISIBLE))
_IGNORED_IN_SPELLING = re.compile(
    "[\\s_'\"`\u00b4\u2018-\u201f\u00ab\u00bb\u200c\u200d\ufe00-\ufe0f]"
)
# Cyrillic and Greek letters that look like Latin ones, after case folding.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u03b1\u03bd\u03b9\u03ba\u03c1\u03c4\u03c5",
    "aeopcyxijsoavikptu",
)
_BACKGROUND = {"background"}
_NO_CLASS = {
    *("bg", "void", "ignore", "ignored", "ignoreregion", "unlabeled", "unlabelled"),
    *("dontcare", "noclass", "nolabel", "noobject", "unannotated", "notlabeled", "notlabelled"),
}
_COMMENTS = ("# ", "//", "/*", "<!--")  # the first characters of a comment
_EMPTY = {"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat", "?", "#name?", "#ref!"}
_TRUTH_VALUES = {"true", "false", "yes", "no", "wahr", "falsch", "vrai", "faux"}
_DECIMAL = re.compile(r"[+-]?\d+[.,]\d+")
_LIST = re.compile(r"""[\[{(]\s*(['"].*)?[\]})]|set\(\)""")


def clean_name(text: str) -> str:
    """A class name in NFC, without invisible characters, with single blanks."""
    text = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    )
    return " ".join(text.split())


def clean_id(text: str) -> str:
    """An image id in NFC, without blanks and invisible characters at either end."""
    text, before = unicodedata.normalize("NFC", text), None
    while text != before:
        before = text
        text = text.strip().strip(_INVISIBLE_CHARACTERS)
    return text


def spelling(name: str) -> str:
    """The key that all spellings of a name share; names of different classes have others."""
    folded = unicodedata.normalize("NFKC", name).casefold().translate(_LOOK_ALIKES)
    kept = "".join(
        character
        for character in _IGNORED_IN_SPELLING.sub("", folded.translate(_INVISIBLE))
        if unicodedata.category(character) != "Pd"
    )
    return kept or name


def first_respelled(names: Iterable[str]) -> tuple[str, str] | None:
    """The first name that spells an earlier, different one, after that one; None without any.

    ``cat.1`` spells ``cat``: pandas names a repeated column so.
    """
    earlier: dict[str, str] = {}
    for name in names:
        key = spelling(name)
        key = next((k for k in (key, re.sub(r"\.\d+$", "", key)) if k in earlier), key)
        if earlier.setdefault(key, name) != name:
            return earlier[key], name
    return None


def is_background(name: str) -> bool:
    """True for spellings of ``background``, such as ``_background_``."""
    return spelling(name) in _BACKGROUND


def is_ignored(name: str) -> bool:
    """True for spellings of ``ignore``, such as the ``__ignore__`` of label editors."""
    return spelling(name) in {"ignore", "ignored"}


def reason_no_class(name: str) -> str:
    """The reason why a name is a comment or a word for unlabelled pixels; empty for a class."""
    if is_background(name):
        return "is mask id 0, no class"
    if name.startswith(_COMMENTS):
        return "is a comment, no class"
    return "is a word for pixels without a class" if spelling(name) in _NO_CLASS else ""


def reason_no_name(name: str) -> str:
    """The reason why a cell is hardly a class name; empty for a name.

    Tools write such words for an empty cell, for a truth value, and for a list in one cell.
    """
    word = name.casefold()
    if word in _EMPTY or not any(map(_is_word, name)):
        return "is written for an empty cell"
    if word in _TRUTH_VALUES:
        return "is a truth value"
    if _DECIMAL.fullmatch(name):
        return "is a number"
    return "is a list in one cell" if _LIST.fullmatch(name) else ""


def _is_word(character: str) -> bool:
    """True for letters, digits and symbols such as emoji; false for ASCII punctuation."""
    return character.isalnum() or not character.isascii()


def reason_no_id(text: str) -> str:
    """The reason why a text cannot be an image id, the name of a file; empty for an id."""
    if is_too_long(text):
        return f"is longer than {LONGEST} bytes"
    if "/" in text or text in (".", ".."):
        return "is a path"
    return _damage(text)


def reason_unfit(name: str) -> str:
    """The reason why a class name is damaged text or a line of many names; empty for others."""
    if is_too_long(name):
        return f"is longer than {LONGEST} bytes"
    return _damage(name)


def is_too_long(text: str) -> bool:
    """Whether a name is longer than ``LONGEST`` bytes in UTF-8."""
    return len(text.encode(errors="replace")) > LONGEST


def _damage(text: str) -> str:
    kinds = set(map(unicodedata.category, text))
    if "Cs" in kinds:  # half of a character, or a byte of a file name in another encoding
        return "has a part that is no text in UTF-8"
    return "has a control character" if "Cc" in kinds else ""


def quoted(text: str) -> str:
    """A text in quotes for a message, shortened, with escapes for control characters."""
    return repr(shown(text))


def shown(text: str) -> str:
    """A text for a message, shortened."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"

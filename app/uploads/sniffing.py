"""What a file is, told by its first bytes: what its sender says is compared with that.

A table of signatures rather than a library that guesses among hundreds: a type counts here only if
its bytes are beyond doubt, and it is only as good as what is done with it afterwards.
"""

import codecs
import re
from pathlib import PurePosixPath
from typing import Final

from app.chatkit.errors import UnprocessableError

HEAD_BYTES: Final = 16 * 1024
"""How much of a file's beginning should be given, where the file is that long."""

UNKNOWN: Final = "application/octet-stream"
TEXT: Final = "text/plain"
MAX_SHOWN_NAME: Final = 80

OLE: Final = "application/x-ole-storage"
ZIP: Final = "application/zip"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT: Final = "application/vnd.oasis.opendocument."

# How binary formats begin; a dot stands for any byte.
_SIGNATURES: Final = tuple(
    (re.compile(pattern, re.DOTALL), mime_type)
    for pattern, mime_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBPVP8[ LX]", "image/webp"),
        (rb"BM.{8}....[\x0c\x28\x38\x40\x6c\x7c]\0\0\0", "image/bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff"),
        (rb"\0\0\x01\0[\x01-\x40]\0", "image/x-icon"),
        (rb"8BPS\0[\x01\x02]", "image/vnd.adobe.photoshop"),
        (rb"\0\0\0.ftypavi[fs]", "image/avif"),
        (rb"\0\0\0.ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", "image/heic"),
        (rb"\0\0\0.ftypM4[AB] ", "audio/mp4"),
        (rb"\0\0\0.ftyp", "video/mp4"),
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
        (rb"RIFF....AVI ", "video/x-msvideo"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"ID3[\x02-\x04]|\xff[\xf2\xf3\xfa\xfb].", "audio/mpeg"),
        (rb"\xff[\xf0\xf1\xf8\xf9].", "audio/aac"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS\0", "audio/ogg"),
        (rb"\x1f\x8b\x08", "application/gzip"),
        (rb"BZh[1-9]1AY&SY", "application/x-bzip2"),
        (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
        (rb"MZ", "application/x-msdownload"),
        (rb"\x7fELF|[\xce\xcf]\xfa\xed\xfe", "application/x-executable"),
    )
)

# Other names under which a type is declared, all of them for the same bytes.
_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/heif": "image/heic",
    "image/heic-sequence": "image/heic",
    "image/heif-sequence": "image/heic",
    "image/x-ms-bmp": "image/bmp",
    "image/vnd.microsoft.icon": "image/x-icon",
    "application/x-pdf": "application/pdf",
    "text/rtf": "application/rtf",
    "application/x-zip-compressed": ZIP,
    "application/x-zip": ZIP,
    "application/x-gzip": "application/gzip",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-aac": "audio/aac",
    "application/x-elf": "application/x-executable",
    "audio/x-flac": "audio/flac",
}

# One signature for several types: what was declared is kept, if it is of the family.
_FAMILIES: Final = {
    ZIP: frozenset(
        {f"{_OFFICE}{kind}" for kind in ("wordprocessingml.document", "spreadsheetml.sheet")}
        | {f"{_OFFICE}presentationml.presentation", "application/epub+zip", ZIP}
        | {f"{_OPEN_DOCUMENT}{kind}" for kind in ("text", "spreadsheet", "presentation")}
    ),
    OLE: frozenset(
        {
            OLE,
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.ms-outlook",
        }
    ),
    "video/mp4": frozenset(
        {"video/mp4", "audio/mp4", "audio/x-m4a", "video/quicktime", "video/x-m4v", "video/3gpp"}
    ),
    "image/heic": frozenset({"image/heic", "image/avif"}),
    "audio/mp4": frozenset({"audio/mp4", "audio/x-m4a", "video/mp4"}),
    "audio/ogg": frozenset({"audio/ogg", "video/ogg", "application/ogg", "audio/opus"}),
    "video/webm": frozenset({"video/webm", "audio/webm", "video/x-matroska"}),
}

_TEXT_TYPES: Final = frozenset(
    {
        "application/json",
        "application/x-ndjson",
        "application/xml",
        "application/xhtml+xml",
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/typescript",
        "application/x-typescript",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/sql",
        "application/graphql",
        "application/x-sh",
        "application/x-shellscript",
        "application/x-python",
        "application/x-php",
        "application/x-httpd-php",
        "application/x-tex",
        "application/x-subrip",
        "message/rfc822",
    }
)
# Declared by systems that go by the ending of the name: .csv where Excel is installed, .ts.
_MISTAKEN_FOR_TEXT: Final = frozenset(
    {"application/vnd.ms-excel", "video/mp2t", "video/vnd.dlna.mpeg-tts"}
)
_TEXT_ENDINGS: Final = {
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".json": "application/json",
    ".xml": "application/xml",
}

_MARKUP: Final = frozenset({"text/html", "image/svg+xml", "application/xml"})
_RECOGNISABLE: Final = frozenset[str]().union(
    (kind for _, kind in _SIGNATURES), *_FAMILIES.values(), ("application/pdf", "application/rtf")
)
"""Types whose absence from the bytes is proof that the declaration is wrong."""

# Control characters that no text has: all but backspace (with which manual pages print bold), tab,
# line feed, form feed, carriage return, escape; and the mark at the end of a text of DOS.
_CONTROLS: Final = re.compile("[\x00-\x07\x0b\x0e-\x19\x1c-\x1f\x7f]|\x1a(?!\\Z)")
# The header of an entry in a ZIP archive, up to the beginning of its name.
_ARCHIVE_ENTRY: Final = re.compile(rb"PK\x03\x04.{26}(.{1,32})", re.DOTALL)
_OFFICE_FOLDERS: Final = {
    b"word/": "wordprocessingml.document",
    b"xl/": "spreadsheetml.sheet",
    b"ppt/": "presentationml.presentation",
}
_MAX_LEGACY_SHARE: Final = 0.3
_BEFORE_MARKUP: Final = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_HTML_START: Final = re.compile(
    r"<(?:!doctype\s+html|html|head|body|script|iframe|style|title|meta|link|base|object|embed"
    r"|form|img|table|div|p|a|h[1-6]|br|font|b)(?=[\s/>])",
    re.IGNORECASE,
)
_SVG_START: Final = re.compile(
    r"(?:<!doctype\s[^>\[]*(?:\[.*?\]\s*)?>\s*)?<(?:[\w.-]+:)?svg(?=[\s/>:])",
    re.IGNORECASE | re.DOTALL,
)


class WrongTypeError(UnprocessableError):
    """The bytes of a file are not what they were declared as."""


def sniff(head: bytes) -> str:
    """Return the type of the file that begins with ``head`` (see ``HEAD_BYTES``).

    ``text/plain`` for any text but markup, ``application/octet-stream`` for what is not known.
    """
    # These two may consist of text alone.
    for start, mime_type in ((b"%PDF-", "application/pdf"), (b"{\\rtf", "application/rtf")):
        if head.startswith(start):
            return mime_type
    text = decode_text(head)
    if text is not None:
        return _sniff_text(text)
    if head.startswith(b"PK\x03\x04"):
        return _sniff_archive(head)
    return next((kind for pattern, kind in _SIGNATURES if pattern.match(head)), UNKNOWN)


def check_declared(declared: str, name: str, head: bytes) -> str:
    """Return the type of a file that was declared as ``declared`` and begins with ``head``.

    That is the declared type where the bytes agree with it, and the sniffed one where nothing
    definite was declared. Raises ``WrongTypeError`` where the two contradict each other. Markup
    that was declared as some other text is returned as that: it must not be served as markup.
    """
    wanted = clean_type(declared)
    found = sniff(head)
    if found in _MARKUP or found == TEXT:
        return _check_text(wanted, found, name)
    if wanted in (UNKNOWN, found):
        return found
    if wanted in _FAMILIES.get(found, ()):
        return wanted
    if found == UNKNOWN and not _is_recognisable(wanted):
        return wanted
    # A more exact finding (a Word file) than what was declared (an archive) is no contradiction.
    if wanted in _FAMILIES and found in _FAMILIES[wanted]:
        return found
    raise _wrong(name, declared, found)


def possible_types(declared: str) -> frozenset[str] | None:
    """Return what a file that was declared as this can turn out to be; None if that is open."""
    wanted = clean_type(declared)
    if wanted == UNKNOWN or wanted in _MISTAKEN_FOR_TEXT:
        return None
    if wanted in _FAMILIES:
        return _FAMILIES[wanted]
    return frozenset({wanted}) if _is_definite(wanted) else None


def clean_type(declared: str) -> str:
    """Return a media type in its usual spelling, without parameters; unknown if it is none."""
    name = declared.partition(";")[0].strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", name):
        return UNKNOWN
    return _ALIASES.get(name, name)


def is_text(mime_type: str) -> bool:
    """Return whether files of this type are read as text."""
    kind = clean_type(mime_type)
    return (
        kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml", "+yaml"))
    )


def decode_text(data: bytes) -> str | None:
    """Return ``data`` as text, or None if it is no text. An incomplete last character is cut off.

    UTF-8 and, behind their marks, UTF-16 are told apart; anything else that has only a few bytes
    beyond ASCII is read as Windows-1252, which is what spreadsheets still write.
    """
    text = _decode(data)
    return None if text is None or _CONTROLS.search(text) else text


def decode_accepted(data: bytes) -> str:
    """Return the text of a file whose beginning was seen to be text.

    What is none further on (a wrong byte, a control character) is replaced by U+FFFD.
    """
    text = _decode(data)
    if text is None:
        text = codecs.getincrementaldecoder(_encoding_of(data))("replace").decode(data)
    return _CONTROLS.sub("\ufffd", text)


def _encoding_of(data: bytes) -> str:
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if is_utf16 else "utf-8-sig"


def _decode(data: bytes) -> str | None:
    encoding = _encoding_of(data)
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=False)
    except UnicodeDecodeError:
        return None if encoding == "utf-16" else _decode_legacy(data)


def _decode_legacy(data: bytes) -> str | None:
    beyond = sum(byte >= 0x80 for byte in data)
    if beyond > len(data) * _MAX_LEGACY_SHARE:
        return None
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return None


def _sniff_text(text: str) -> str:
    start = _BEFORE_MARKUP.match(text)
    rest = text[start.end() if start else 0 :]
    if _SVG_START.match(rest):
        return "image/svg+xml"
    if _HTML_START.match(rest):
        return "text/html"
    if text.lstrip().startswith("<?xml"):
        return "application/xml"
    return TEXT


def _sniff_archive(head: bytes) -> str:
    """Return what the first entries of a ZIP archive make of it."""
    for kind in ("text", "spreadsheet", "presentation"):
        if f"mimetype{_OPEN_DOCUMENT}{kind}".encode() in head[:256]:
            return _OPEN_DOCUMENT + kind
    if b"mimetypeapplication/epub+zip" in head[:256]:
        return "application/epub+zip"
    names = [each[1] for each in _ARCHIVE_ENTRY.finditer(head)]
    if any(name.startswith((b"[Content_Types].xml", b"_rels/")) for name in names):
        for folder, kind in _OFFICE_FOLDERS.items():
            if any(name.startswith(folder) for name in names):
                return _OFFICE + kind
    return ZIP


def _check_text(wanted: str, found: str, name: str) -> str:
    if wanted == UNKNOWN or wanted in _MISTAKEN_FOR_TEXT:
        ending = PurePosixPath(name.lower()).suffix
        return _TEXT_ENDINGS.get(ending, TEXT) if found == TEXT else found
    if wanted == "image/svg+xml" and found != wanted:
        raise _wrong(name, wanted, found)
    if is_text(wanted):
        return wanted
    if _is_definite(wanted):
        raise _wrong(name, wanted, found)
    return found


def _is_recognisable(wanted: str) -> bool:
    return wanted in _RECOGNISABLE or wanted.startswith("image/") or is_text(wanted)


def _is_definite(wanted: str) -> bool:
    return _is_recognisable(wanted) or wanted.startswith(("audio/", "video/", "font/"))


def _wrong(name: str, declared: str, found: str) -> WrongTypeError:
    shown = name if len(name) <= MAX_SHOWN_NAME else name[: MAX_SHOWN_NAME - 1] + "…"
    seems = "of an unknown kind" if found == UNKNOWN else found
    advice = "; save it as UTF-8" if found == UNKNOWN and is_text(declared) else ""
    return WrongTypeError(
        f"file: {shown!r} was declared as {clean_type(declared)}, but its content is {seems}"
        + advice
    )

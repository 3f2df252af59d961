"""Bytes of a file to exact text, in pieces of bounded size, with every way this can fail said in words."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from unrolled.errors import UserError

PIECE = 1 << 20  # bytes read at a time, and about the characters a record of a long document holds
SHOWN = 20  # problems of one file that are listed
LINE = 1 << 24  # characters: no line and no cell of a table is longer


class EmptyFile(UserError):
    """Nothing to read, or nothing but white space: an error alone, left out aloud among other files."""


SIGNATURES = {  # patterns of the first bytes of what people most often hand in by mistake
    rb"\x1f\x8b": "gzip data (give it a name ending in .gz)",
    rb"PK\x03\x04": "a zip archive or an office document (unpack it, or save it as plain text)",
    rb"%PDF-": "a PDF (extract its text first, e.g. with pdftotext)",
    rb"\x89PNG": "a PNG picture",
    rb"\xff\xd8\xff": "a JPEG picture",
    rb"MThd": "a MIDI file",
    rb"RIFF[\s\S]{4}(?:WAVE|AVI )": "a WAV or AVI file",
    rb"{\\rtf": "a rich-text document (save it as plain text)",
    rb"\xff\xfe\x00\x00": "UTF-32 text",
    rb"\xff\xfe": "UTF-16 text",
    rb"\xfe\xff": "UTF-16 text",
}


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked when its name ends in `.gz`. Raises UserError where the system refuses."""
    try:
        return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise _refused(path, error) from error


def chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, `PIECE` at a time. A damaged gzip file is a UserError, never a shortened text."""
    with open_bytes(path) as file:
        while True:
            try:
                chunk = file.read(PIECE)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise UserError(
                    f"{path}: not a whole gzip file ({error}). Cut short, or not gzip at all: fetch it again."
                ) from error
            except OSError as error:
                raise _refused(path, error) from error
            if not chunk:
                return
            yield chunk


def decoded(path: Path, notes: list[str]) -> Iterator[str]:
    """The exact text of a UTF-8 file in pieces of at most `PIECE` characters; line ends stay as they are.

    A byte order mark is dropped and said in `notes`. Raises UserError for an empty or binary file and for
    another encoding, naming byte and line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, line = 0, 1
    for chunk in chunks(path):
        if offset == 0:
            _check_signature(path, chunk)
            if chunk.startswith(codecs.BOM_UTF8):
                notes.append(f"{path.name}: dropped the byte order mark at its start")
                offset, chunk = len(codecs.BOM_UTF8), chunk[len(codecs.BOM_UTF8) :]
        zero = chunk.find(b"\0")
        if zero >= 0:
            raise UserError(
                f"{path}:{line + chunk.count(10, 0, zero)}: byte {offset + zero} is NUL, so this is a binary "
                "file (or UTF-16 without its mark), not text. Expected UTF-8 text: convert it first."
            )
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error
        offset += len(chunk)
        line += chunk.count(b"\n")
        yield text
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    if offset == 0:
        raise EmptyFile(
            f"{path}: the file is empty (0 bytes). Expected text: check that it was written completely."
        )


def lines(path: Path, notes: list[str]) -> Iterator[str]:
    """The lines of a UTF-8 file, each with its own end (\\n, \\r\\n or \\r), as `decoded` reads them.

    Raises UserError too for a line of more than `LINE` characters.
    """
    parts: list[str] = []
    number = 1
    for text in decoded(path, notes):
        # A \r that ends the piece may be the first half of a \r\n.
        end = max(text.rfind("\n"), text.rfind("\r", 0, len(text) - 1)) + 1
        parts.append(text[:end] if end else text)
        if end:
            whole = "".join(parts)
            yield from io.StringIO(whole, newline="")
            number += whole.count("\n") or whole.count("\r")
            parts = [text[end:]]
        elif sum(map(len, parts)) > LINE:
            raise UserError(
                f"{path}:{number}: a line of more than {LINE:,} characters. Expected line breaks between records."
            )
    yield from io.StringIO("".join(parts), newline="")


def _check_signature(path: Path, head: bytes) -> None:
    for signature, meaning in SIGNATURES.items():
        if re.match(signature, head):
            if not meaning.startswith("UTF"):
                raise UserError(f"{path}: this is {meaning}, not text. Expected UTF-8 text.")
            encoding = meaning.split()[0]
            raise UserError(
                f"{path}: this is {meaning} (byte order mark {head[:2].hex(' ')} at byte 0); expected "
                f"UTF-8. Convert it: iconv -f {encoding} -t UTF-8 {path.name} > {path.stem}.utf8{path.suffix}"
            )


def _not_utf8(path: Path) -> UserError:
    """The error for bytes that aren't UTF-8: the first places by line and byte, and the likely encoding."""
    found = bad_places(path)
    line, offset, value = found[0]
    others = ", ".join(str(number) for number in dict.fromkeys(n for n, _, _ in found) if number != line)
    also = f" Also on line {others}{' and perhaps more' if len(found) == SHOWN else ''}." if others else ""
    return UserError(
        f"{path}:{line}: byte 0x{value:02x} at offset {offset} is not valid UTF-8.{also} Probably "
        f"Windows-1252 (Latin-1) text, or not text at all. If it is text, convert it: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > {path.stem}.utf8{path.suffix}"
    )


def bad_places(path: Path, limit: int = SHOWN) -> list[tuple[int, int, int]]:
    """The first `limit` bytes that break UTF-8, as (line, byte offset, byte)."""
    found: list[tuple[int, int, int]] = []
    pending, base, line = b"", 0, 1
    stream = chunks(path)
    while len(found) < limit:
        chunk = next(stream, b"")
        data = pending + chunk
        try:
            data.decode()
            good, skip = len(data), len(data)
        except UnicodeDecodeError as error:
            good, skip = error.start, error.end
            if chunk and error.end == len(data) and "unexpected end" in error.reason:
                skip = good  # a character cut by the chunk's border: wait for the rest
            else:
                found.append((line + data.count(10, 0, good), base + good, data[good]))
        line += data.count(10, 0, skip)
        base += skip
        pending = data[skip:]
        if not chunk and not pending:
            break
    return found


def _refused(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        f"{path}: cannot be read ({reason}). Check the file's permissions and that it is a plain file."
    )

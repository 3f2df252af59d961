"""What people send, as JSON can say it, to what a task's codec reads. Nothing sent is ever taken for a path.

Text is a string; numbers are numbers, lists of them or lists of equally long lists; sound and images are the file's bytes
in base64; a video is a list of images.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from unrolled.datasets.images import image_header
from unrolled.datasets.inputs import TOKENS
from unrolled.datasets.media import Clip, MediaFile
from unrolled.datasets.media_codecs import OF_COLUMN
from unrolled.datasets.sound import sound_header, sound_of
from unrolled.datasets.stacked import Followed, StackedMel
from unrolled.datasets.values import RESERVED, sequence
from unrolled.errors import UnrolledError, UserError
from unrolled.serving.faults import Refused, invalid
from unrolled.serving.holding import Take
from unrolled.serving.limits import Limits
from unrolled.training.new_rows import rows_for

SOUND, IMAGE, FRAMES = (frozenset(OF_COLUMN[kind]) for kind in ("sound", "image", "frames"))
DEEP = 4  # lists within lists
LARGEST = 2**63 - 1
FARTHEST = 1e38  # from zero, of any reading


@dataclass(frozen=True, slots=True)
class Sent(MediaFile):
    """A file that came with the request: its bytes are here, its path is only what messages call it."""

    content: bytes = b""

    def open(self) -> IO[bytes]:
        """The bytes."""
        return io.BytesIO(self.content)


def plain(value: Any, field: str, deep: int = 0) -> None:
    """Raises Refused for what JSON shouldn't hold: NaN and infinities, half characters, lists without end."""
    if isinstance(value, float) and not abs(value) <= FARTHEST:  # NaN neither
        raise invalid(field, f"{value} is no number up to {FARTHEST:g}; a missing value is null")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
        raise invalid(field, "a whole number beyond 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise invalid(field, "the text holds half a character (a lone surrogate)") from None
    if isinstance(value, (list, dict)):
        if deep >= DEEP:
            raise invalid(field, f"lists more than {DEEP} deep")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, str):
                plain(key, field, deep + 1)
            if item.__class__ is not int or not -LARGEST <= item <= LARGEST:
                plain(item, f"{field}.{key}", deep + 1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be read: `steps` of one value, and as many bytes in all as `take` allows."""

    steps: int
    take: Take


def value_for(codec: Any, value: Any, field: str, bounds: Bounds) -> Any:
    """One value as this codec reads it; files are as they came, their headers read. Raises Refused that names the field."""
    kind = codec.kind
    if kind == "together":
        return _together(codec, value, field, bounds)
    if value is None:
        return None
    if kind in SOUND | IMAGE:
        return _sound(codec, value, field, bounds) if kind in SOUND else _image(value, field, bounds)
    if kind in FRAMES:
        if not isinstance(value, list) or not value:
            raise invalid(field, "a video is a list of images, each the file's bytes in base64")
        return Clip(field, tuple(_image(frame, f"{field}.{at}", bounds) for at, frame in enumerate(value)))
    if kind in TOKENS:
        return _text(kind, value, field)
    return _numbers(value, field)


def _together(codec: Any, value: Any, field: str, bounds: Bounds) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        names = ", ".join(f.name for f in codec.fields)
        raise invalid(field, f"expected an object with the columns {names}")
    return {f.name: value_for(f.codec, value.get(f.name), f"{field}.{f.name}", bounds) for f in codec.fields}


def _text(kind: str, value: Any, field: str) -> Any:
    if isinstance(value, str):
        return value
    if kind == "items" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise invalid(field, f"expected a text, got {_kind(value)}")


def _numbers(value: Any, field: str) -> Any:
    if isinstance(value, (bool, str, dict)):
        raise invalid(field, f"expected numbers, got {_kind(value)}")
    if isinstance(value, list) and any(
        bool in map(type, one if isinstance(one, list) else [one]) for one in value
    ):
        raise invalid(field, "expected numbers, got true or false")
    try:
        found = sequence(value) if isinstance(value, list) else np.array([value], np.float64)
    except ValueError as error:
        raise invalid(field, str(error)) from error
    if not isinstance(found, np.ndarray):
        raise invalid(field, "expected numbers, got texts")
    return found if isinstance(value, list) else float(value)


def _sound(codec: Any, value: Any, field: str, bounds: Bounds) -> Sent:
    """A sound whose header declares no more than may be read: a few bytes can unpack to an hour of silence."""
    sent = _sent(value, field, "sound")
    try:
        header = sound_header(sent)
    except UserError as error:
        raise invalid(field, str(error).removeprefix(f"{field}: ")) from error
    each = codec.hop if hasattr(codec, "hop") else codec.frame / codec.rate  # seconds of a step
    _few(int(header.frames / header.rate / each), field, bounds)
    bounds.take(4 * header.frames)
    return sent


def _image(value: Any, field: str, bounds: Bounds) -> Sent:
    """An image as its header declares it. Its steps are those of training, whatever its size."""
    sent = _sent(value, field, "image")
    try:
        header = image_header(sent)
    except UserError as error:
        raise invalid(field, str(error).removeprefix(f"{field}: ")) from error
    bounds.take(header.height * header.width * header.channels)
    return sent


def _sent(value: Any, field: str, what: str) -> Sent:
    if not isinstance(value, str):
        raise invalid(field, f"expected the bytes of a file of {what} in base64, got {_kind(value)}")
    try:
        return Sent(Path(field), content=base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        raise invalid(field, f"no base64: expected the bytes of a file of {what}") from None


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def encoded_rows(
    task: Any, rows: Sequence[Mapping[str, Any]], limits: Limits, take: Take
) -> list[np.ndarray]:
    """The steps of each row, as `un.predict` reads it; take: told how many bytes each file unpacks to, and each row's steps
    have. Raises Refused that names the first field that doesn't fit.
    """
    if not 0 < len(rows) <= limits.rows:
        raise invalid("rows", f"{len(rows)} rows; expected 1 to {limits.rows}")
    whole = [task.long is None and all(name in row for name in task.inputs) for row in rows]
    if any(whole) and not all(whole):
        raise invalid(f"rows.{whole.index(False)}", f"expected the columns {', '.join(task.inputs)}")
    bounds = Bounds(limits.steps, take)
    read = [
        _columns(task, row, f"rows.{at}", bounds) if whole[at] else _other(task, row, f"rows.{at}")
        for at, row in enumerate(rows)
    ]
    if different := next((at for at, row in enumerate(read) if row.keys() != read[0].keys()), None):
        raise invalid(f"rows.{different}", "its columns aren't those of the first row")
    try:
        found = list(rows_for(task, read, quiet=True))
    except UnrolledError as error:
        raise invalid("rows", str(error)) from error
    return [_steps(task, row, f"rows.{at}", bounds) for at, row in enumerate(found)]


def _columns(task: Any, row: Mapping[str, Any], field: str, bounds: Bounds) -> dict[str, Any]:
    """The columns that are read, as their codecs read them; what else a row holds is passed over."""
    codecs = {f.name: f.codec for f in task.codec.fields} if task.codec.kind == "together" else {}
    for name in task.inputs:
        plain(row[name], f"{field}.{name}")
    return {
        name: value_for(codecs.get(name, task.codec), row[name], f"{field}.{name}", bounds)
        for name in task.inputs
    }


def _other(task: Any, row: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A row whose columns make a series only together with others: numbered ones, or the steps of a long table. Only
    numbers and texts, so that nothing in it can be taken for a file.
    """
    plain(row, field)
    if taken := RESERVED & set(row):
        raise invalid(f"{field}.{min(taken)}", "this name is the server's own; call the column otherwise")
    kinds = {f.codec.kind for f in task.codec.fields} if task.codec.kind == "together" else {task.codec.kind}
    if kinds & (SOUND | IMAGE | FRAMES) or any(isinstance(value, (list, dict)) for value in row.values()):
        raise invalid(field, f"expected the columns {', '.join(task.inputs)}")
    return dict(row)


def _steps(task: Any, row: Mapping[str, Any], field: str, bounds: Bounds) -> np.ndarray:
    try:
        steps = np.zeros((0,)) if task.value(row) is None else np.asarray(task.encoded(row))
    except UnrolledError as error:
        named = f"{field}.{task.inputs[0]}" if len(task.inputs) == 1 else field
        raise invalid(named, _bare(str(error), row)) from error
    _few(len(steps), field if len(task.inputs) > 1 else f"{field}.{task.inputs[0]}", bounds)
    bounds.take(steps.nbytes)
    return steps


def _bare(message: str, row: Mapping[str, Any]) -> str:
    """A codec's message without the origin that it begins with."""
    return message.removeprefix(f"{row.get('origin')}: ")


def _few(steps: int, field: str, bounds: Bounds) -> None:
    """Raises Refused for more steps than are allowed."""
    if steps > bounds.steps:
        raise invalid(field, f"{steps} steps; at most {bounds.steps} are read")


def pushed(task: Any, value: Any, field: str, limits: Limits, take: Take) -> list[Any]:
    """One raw value -> the steps that a session reads, ids or rows of numbers."""
    plain(value, field)
    bounds = Bounds(limits.steps, take)
    read = value_for(task.codec, value, field, bounds)
    if read is None:
        raise invalid(field, "null: there is nothing to read")
    try:
        steps = np.asarray(task.steps(read))
    except UnrolledError as error:
        raise invalid(field, str(error)) from error
    _few(len(steps), field, bounds)
    take(steps.nbytes)
    return steps.tolist() if steps.ndim == 1 else list(steps.astype(np.float32))


def following(task: Any) -> Followed:
    """What reads one sound in pieces. Raises Refused for a model that reads none so."""
    if not isinstance(getattr(task, "codec", None), StackedMel):
        raise invalid("piece", "this model reads no sound in pieces (stacked_mel): use push")
    try:
        found: Followed = task.codec.follow()
    except UnrolledError as error:
        raise invalid("piece", str(error)) from error
    return found


def followed(task: Any, sound: Followed, asked: Mapping[str, Any], limits: Limits, take: Take) -> list[Any]:
    """The steps, maybe none, that a piece of a sound completes, or with `end` the last ones."""
    try:
        if "end" in asked:
            steps = sound.end()
        else:
            plain(asked["piece"], "piece")
            bounds = Bounds(limits.steps, take)
            read = sound_of(value_for(task.codec, asked["piece"], "piece", bounds))
            steps = sound.push(read.samples, read.rate)
    except UnrolledError as error:
        raise invalid("piece", str(error)) from error
    _few(len(steps), "piece", Bounds(limits.steps, take))
    take(steps.nbytes)
    return list(steps)


def ids_of(vocabulary: int, ids: Any, field: str) -> list[int]:
    """Token ids as they came. Raises Refused, naming the first, for one that the vocabulary hasn't."""
    if not isinstance(ids, list):
        raise invalid(field, "expected a list of token ids")
    for at, one in enumerate(ids):
        if type(one) is not int or not 0 <= one < vocabulary:
            raise invalid(
                f"{field}.{at}", f"{str(one)[:40]} is no token: the vocabulary has 0 ... {vocabulary - 1}"
            )
    return ids


__all__ = ["Refused", "Sent", "encoded_rows", "followed", "following", "ids_of", "pushed", "value_for"]

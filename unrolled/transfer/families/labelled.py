"""What the families of pictures share: names of classes, and how their pictures are prepared."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from unrolled.datasets.labels import Labels
from unrolled.datasets.prepared import PreparedPatches
from unrolled.errors import UserError
from unrolled.tasks import Classify
from unrolled.transfer.config import Config
from unrolled.transfer.taken import Names, Taken

PREPARED = "preprocessor_config.json"


def classes(config: Config, architecture: str) -> list[str]:
    """The names of the classes in the order of their ids, all different; none of a model without such a head."""
    if architecture not in (config.told.get("architectures") or ()):
        return []
    told = config.told.get("id2label")
    count = len(told) if isinstance(told, dict) else 0
    if not isinstance(told, dict) or not count or set(map(str, told)) != set(map(str, range(count))):
        raise UserError(
            f"{config.source}: id2label is {told!r:.80}; expected a name for each class, 0, 1, ..."
        )
    named = {str(key): str(name) for key, name in told.items()}
    found = [named[str(number)] for number in range(count)]
    often = Counter(found)
    return [f"{name} ({number})" if often[name] > 1 else name for number, name in enumerate(found)]


def scores(names: list[str], theirs: str) -> Names:
    """The head's rows, which are in the order of the classes' names."""
    order = tuple(sorted(range(len(names)), key=names.__getitem__))
    return {f"head.scores.{kind}": Taken((f"{theirs}.{kind}",), order=order) for kind in ("weight", "bias")}


def classified(names: list[str], place: Path, patch: int, channels: int) -> Classify | None:
    """Pictures in, their classes out; None of a model that answers nothing, or where nothing says how pictures are
    prepared. patch: pixels of a patch's side, 0 where a picture is one step.
    """
    file = place / PREPARED
    if not names or not file.is_file():
        return None
    try:
        told = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not how images are prepared ({error}). Fetch it again.") from error
    reads = PreparedPatches.told(told, patch, channels, str(file))
    return Classify(
        codec=reads, answers=Labels(dict.fromkeys(names, 1)), inputs=("image",), targets=("label",)
    )

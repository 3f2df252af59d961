"""From `key=value`, files and the environment to a frozen dataclass, with the source of every value.

    resolved = resolve(Recipe, pairs=["model=lstm", "lr=3e-4"], files=["mine.toml"], verb="train")
    resolved.value.model.kind, resolved.provenance["lr"]        # 'lstm', 'command line'

Order: defaults < recipe < files (`-c`, later ones win) < environment `UNROLLED_<VERB>_<KEY>` < key=value.
Imports neither torch nor numpy, and pydantic only when a value is read.
"""

from unrolled.config.keys import Key, keys_of
from unrolled.config.resolve import Resolved, resolve
from unrolled.config.sources import Given, read_file, split_pairs
from unrolled.config.values import parse
from unrolled.config.writing import diff, explain, flat, schema, to_toml

__all__ = [
    "Given",
    "Key",
    "Resolved",
    "diff",
    "explain",
    "flat",
    "keys_of",
    "parse",
    "read_file",
    "resolve",
    "schema",
    "split_pairs",
    "to_toml",
]

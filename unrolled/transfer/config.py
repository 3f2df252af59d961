"""A folder's config.json: what it says, what it must say, and what of it has no counterpart here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unrolled.errors import UserError, unknown

LARGEST = 2**31  # of any size a config names


class Config:
    """The keys of a config.json; `source` is named where one of them doesn't fit."""

    def __init__(self, told: dict[str, Any], source: str = "config.json") -> None:
        self.told, self.source = told, source

    @classmethod
    def read(cls, folder: Path) -> Config:
        """The config of a folder. Raises UserError for one that isn't there or isn't a table."""
        path = folder / "config.json"
        try:
            told = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path}: not a model's config ({error}). Expected the config.json that lies beside the weights."
            ) from error
        if not isinstance(told, dict):
            raise UserError(f"{path}: holds {type(told).__name__}; expected a table of keys and values.")
        return cls(told, str(path))

    @property
    def family(self) -> str:
        """`model_type`."""
        return str(self.told.get("model_type"))

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number of at least 1; `default` where it is absent or null. Raises UserError for anything else."""
        value = self.told.get(key)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= LARGEST:
            raise UserError(f"{self.source}: {key} is {value!r}; expected a whole number, at least 1.")
        return value

    def number(self, key: str, default: float) -> float:
        """A number above 0; `default` where it is absent or null."""
        value = self.told.get(key)
        value = default if value is None else value
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise UserError(f"{self.source}: {key} is {value!r}; expected a number above 0.")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; `default` where it is absent or null."""
        value = self.told.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise UserError(f"{self.source}: {key} is {value!r}; expected true or false.")
        return value

    def one_of(self, key: str, known: dict[str, str], default: str) -> str:
        """Our word for one of their words."""
        value = str(self.told.get(key) or default)
        if value not in known:
            raise unknown(f"{key} in {self.source}", value, known)
        return known[value]

    def token(self, *keys: str, vocabulary: int) -> int | None:
        """The first id that one of the keys names (the first of a list); None where none does."""
        for key in keys:
            value = self.told.get(key)
            value = value[0] if isinstance(value, list) and value else value
            if value is None:
                continue
            if type(value) is not int or not 0 <= value < vocabulary:
                raise UserError(
                    f"{self.source}: {key} is {value!r}; expected an id below vocab_size={vocabulary}."
                )
            return value
        return None

    def refuse(self, **known: Any) -> None:
        """Raises UserError for keys that are set to something else than what is built here."""
        for key, value in known.items():
            got = self.told.get(key)
            if got is not None and got != value:
                raise UserError(f"{self.source}: {key} is {got!r}; only {value!r} is built here.")


def ends(config: Config, vocabulary: int) -> tuple[int, int]:
    """(first, closes): their id that begins a document, which is our 0, and, under our ids, the one that ends it (0: the
    same).
    """
    begins = config.token("bos_token_id", "eos_token_id", vocabulary=vocabulary) or 0
    closing = config.token("eos_token_id", "bos_token_id", vocabulary=vocabulary) or 0
    if closing == begins:
        return begins, 0
    return begins, begins if closing == 0 else closing

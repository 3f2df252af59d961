"""scikit-learn's base classes where it is installed, and the little of them that is needed where it isn't."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

from unrolled.errors import unknown

__all__ = ["Base", "Classifies", "ColumnWarning", "NotFitted", "Parameters", "Regresses"]


class Parameters:
    """Constructor arguments as `get_params`, `set_params` and `repr` see them: what `BaseEstimator` would bring."""

    @classmethod
    def _names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Changes some of them. Raises UserError for a name that the constructor doesn't have."""
        for name in params:
            if name not in self._names():
                raise unknown(f"parameter of {type(self).__name__}", name, self._names())
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        plain = {n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items()}
        said = [
            f"{n}={v!r}"
            for n, v in self.get_params().items()
            if v is not plain[n] and repr(v) != repr(plain[n])
        ]
        return f"{type(self).__name__}({', '.join(said)})"


class Classifies:
    """In the place of `ClassifierMixin`."""


class Regresses:
    """In the place of `RegressorMixin`."""


class ColumnWarning(UserWarning):
    """Answers came as a column of one. In the place of `DataConversionWarning`."""


class NotFitted(ValueError, AttributeError):
    """Asked before it was fitted. In the place of `NotFittedError`."""


if TYPE_CHECKING:
    Base = Parameters
else:
    Base = Parameters
    try:
        from sklearn.base import BaseEstimator as Base
        from sklearn.base import ClassifierMixin as Classifies
        from sklearn.base import RegressorMixin as Regresses
        from sklearn.exceptions import DataConversionWarning as ColumnWarning
        from sklearn.exceptions import NotFittedError as NotFitted
    except ImportError:  # pipelines and searches need it, the estimators don't
        pass

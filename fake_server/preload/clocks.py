"""Clocks: the functions of `time` that tell it, and dates, show the real time and the offset."""

from __future__ import annotations

import sys
import time

from fake_server.preload.callers import MACHINERY, in_machinery, package, stays_real
from fake_server.preload.registry import offset
from fake_server.preload.replacing import AT_THE_END, REPLACEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["patch_datetime", "resembling"]


def _reader(real: Callable[[], Any], scale: int) -> Callable[[], Any]:
    if scale == 1:

        def read() -> Any:
            return real() if not offset() or stays_real() else real() + offset()

    else:

        def read() -> Any:
            return real() if not offset() or stays_real() else real() + int(offset() * scale)

    resembling(read, real)
    return read


def resembling(new: Any, real: Any) -> None:
    """Let a stand-in be known by the module and the name of what it stands for: it is pickled, and named, by them."""
    new.__module__, new.__name__, new.__qualname__, new.__doc__ = real.__module__, *[real.__name__] * 2, real.__doc__


_real_time = time.time


_dates: dict[Any, Any] = {}


def _copyreg() -> Any:
    import copyreg

    return copyreg


def patch_datetime(module: Any) -> None:
    """Replace `datetime` and `date` by classes that make instances of the real ones."""
    if not _dates:
        _dates.update(_stand_ins_of_dates(module))
    for real, new in _dates.items():
        # pickle looks a class up by its name, where it now finds the other one
        _copyreg().dispatch_table[real] = _reduced(new)
        REPLACEMENTS.stand_in(real, new)


def _stand_ins_of_dates(module: Any) -> dict[Any, Any]:
    real_date, real_datetime = module.date, module.datetime
    utc = module.timezone.utc

    class Kind(type):
        real: Any

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, cls.real) if "real" in cls.__dict__ else type.__instancecheck__(cls, instance)

        def __subclasscheck__(cls, subclass: Any) -> bool:
            return issubclass(subclass, cls.real) if "real" in cls.__dict__ else type.__subclasscheck__(cls, subclass)

        def __eq__(cls, other: object) -> bool:
            return cls is other or cls.__dict__.get("real") is other

        def __hash__(cls) -> int:
            return hash(cls.__dict__.get("real")) if "real" in cls.__dict__ else type.__hash__(cls)

    def now() -> float:
        return _real_time() + (0.0 if _stays_real_for_dates() else offset())

    class date(real_date, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        real = real_date

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_date.__new__(real_date if cls is date else cls, *args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

    class datetime(real_datetime, metaclass=Kind):  # type: ignore[misc,valid-type] # noqa: N801
        real = real_datetime

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_datetime.__new__(real_datetime if cls is datetime else cls, *args, **kwargs)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(now(), tz)

        @classmethod
        def today(cls) -> Any:
            return cls.fromtimestamp(now())

        @classmethod
        def utcnow(cls) -> Any:
            return cls.fromtimestamp(now(), utc).replace(tzinfo=None)

    for real, new in ((real_date, date), (real_datetime, datetime)):
        new.__module__, new.__qualname__, new.__doc__ = real.__module__, real.__qualname__, real.__doc__
    return {real_date: date, real_datetime: datetime}


def _reduced(kind: Any) -> Callable[[Any], Any]:
    return lambda value: (kind, value.__reduce_ex__(4)[1])


def _stays_real_for_dates() -> bool:
    frame = sys._getframe(3)
    return in_machinery() or package(frame) in MACHINERY


def _unpickle_as_before() -> None:
    for kind in _dates:
        _copyreg().dispatch_table.pop(kind, None)


AT_THE_END.append(_unpickle_as_before)

for _name in ("time", "monotonic", "perf_counter"):
    for _suffix, _scale in (("", 1), ("_ns", 10**9)):
        REPLACEMENTS.stand_in(getattr(time, _name + _suffix), _reader(getattr(time, _name + _suffix), _scale))

"""How the caller has set up `logging`: levels, handlers, filters and formats of its loggers.

Travels to the engine by value: standard library only. Read and applied in parts, so that a handler which cannot travel
is missed alone.
"""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

# Loggers of what an engine is made of.
_OF_ENGINES = frozenset({"IPython", "ipykernel", "ipyparallel", "jupyter_client", "tornado", "traitlets", "zmq"})
_LEVELS_AT_START = frozenset(logging._levelToName.items())
_AS_NEW = {"level": logging.NOTSET, "propagate": True, "disabled": False}

# The loggers that were set up here, to be put back when the caller has them no more.
_set_up: set[str] = set()

# Which part: its kind, the logger's name, and which of its handlers or filters.
Key = tuple[str, str, int]


class SentStream:
    """Stands for one of the caller's standard streams; unpickles as the engine's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (sys, self._name)


class SentHandler:
    """Stands for a handler; unpickles as one like it, with a lock of its own and its file yet to be opened."""

    def __init__(self, handler: logging.Handler) -> None:
        state = {name: _sent(value) for name, value in vars(handler).items() if name != "lock"}
        if isinstance(handler, logging.FileHandler):
            # Opened to be written anew, the file would lose what it holds.
            state |= {"stream": None, "mode": handler.mode.replace("w", "a"), "delay": True}
        self._of = type(handler), state

    def __reduce__(self) -> tuple[Any, ...]:
        return make_handler, self._of


def make_handler(cls: type[logging.Handler], state: dict[str, Any]) -> logging.Handler:
    """A handler like the caller's."""
    handler = cls.__new__(cls)
    vars(handler).update(state)
    handler.createLock()
    return handler


def _sent(value: Any) -> Any:
    for name in ("stdout", "stderr"):
        standard = getattr(sys, name)
        # The stream may be wrapped, while a progress bar is on the same terminal.
        same = (standard, getattr(sys, f"__{name}__"), getattr(standard, "stream", None))
        if value is not None and any(value is stream for stream in same):
            return SentStream(name)
    return value


def read() -> dict[Key, Any]:
    """The loggers that are not as new, names of levels, and switches."""
    parts: dict[Key, Any] = {
        ("switches", "", 0): {
            "levels": dict(logging._levelToName.items() - _LEVELS_AT_START),
            "disable": logging.root.manager.disable,
            "raise": logging.raiseExceptions,
            "captures warnings": logging._warnings_showwarning is not None,  # type: ignore[attr-defined]
        }
    }
    for logger in filter(_is_set_up, _loggers()):
        parts["logger", logger.name, 0] = {name: getattr(logger, name) for name in _AS_NEW}
        for index, handler in enumerate(logger.handlers):
            parts["handlers", logger.name, index] = SentHandler(handler)
        for index, filter_ in enumerate(logger.filters):
            parts["filters", logger.name, index] = filter_
    return parts


def apply(parts: Mapping[Key, Any]) -> None:
    """Set up logging as the caller has it."""
    loggers = {name: state for (kind, name, _), state in parts.items() if kind == "logger"}
    for name in _set_up | loggers.keys():
        logger = logging.getLogger(name)
        state = loggers.get(name, _AS_NEW)
        logger.propagate, logger.disabled = state["propagate"], state["disabled"]
        logger.setLevel(state["level"])
        logger.handlers[:] = _in_order(parts, "handlers", name)
        logger.filters[:] = _in_order(parts, "filters", name)
    _set_up.update(loggers)
    switches = parts["switches", "", 0]
    for level, text in switches["levels"].items():
        logging.addLevelName(level, text)
    logging.disable(switches["disable"])
    logging.raiseExceptions = switches["raise"]
    logging.captureWarnings(switches["captures warnings"])


def _in_order(parts: Mapping[Key, Any], kind: str, name: str) -> list[Any]:
    return [parts[key] for key in sorted(key for key in parts if key[:2] == (kind, name))]


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] not in _OF_ENGINES:
            yield logger


def _is_set_up(logger: logging.Logger) -> bool:
    is_new = all(getattr(logger, name) == value for name, value in _AS_NEW.items())
    return logger is logging.root or not is_new or bool(logger.handlers) or bool(logger.filters)

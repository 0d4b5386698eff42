"""How logging is set up: levels, handlers, what is disabled; `setting:logging:NAME`, read by every cell."""

import logging
import sys

from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.settings import Keyed

_PLAIN = [0, False, True, []]


class Logging(Keyed):
    """The loggers that differ from what a fresh process and the libraries' imports make of them."""

    name = "logging"

    def __init__(self, imports):
        Keyed.__init__(self, imports)
        self._handlers = {}  # logger name -> (handlers, their form)
        self.arrive()

    def end(self):
        """See `channels`."""
        self.looked_at_all = True
        return Keyed.end(self)

    def current(self):
        """See `channels`."""
        found = {"": self._form("", logging.root), "disable": logging.root.manager.disable}
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger):
                plain = logger.level == 0 and not logger.disabled and logger.propagate and not logger.handlers
                if not plain or "logger " + name in self._now:
                    found["logger " + name] = self._form(name, logger)
                    self._default.setdefault("logger " + name, _PLAIN)
        return found

    def put(self, key, value):
        """See `channels`."""
        if value is None:
            value = _PLAIN
        if key == "disable":
            logging.disable(value)
            return
        name = key[len("logger ") :]
        logger = logging.getLogger(name) if name else logging.root
        logger.setLevel(value[0])
        logger.disabled, logger.propagate = value[1], value[2]
        if value[3] != self._form(name, logger)[3]:
            logger.handlers[:] = [_made(form) for form in value[3]]

    def drop(self, key):
        """See `channels`."""
        self.put(key, None)

    def _imported(self, name, _inert):
        Keyed._imported(self, name, True)  # whichever library it is, its import sets it up again

    def _form(self, name, logger):
        own = name.partition(".")[0] in sys.modules  # a library's: it adds its handlers itself, when it is first used
        return [
            logger.level,
            bool(logger.disabled),
            bool(logger.propagate),
            [] if own and name else self._forms(name, logger),
        ]

    def _forms(self, name, logger):
        handlers = tuple(logger.handlers)
        known = self._handlers.get(name)
        if known is None or known[0] != handlers:
            self._handlers[name] = known = (handlers, [])
        known[1][:] = [_handler_form(handler) for handler in handlers]
        return list(known[1])


def _handler_form(handler):
    formatter = handler.formatter
    style = None if formatter is None else getattr(formatter, "_fmt", None)
    date = None if formatter is None else getattr(formatter, "datefmt", None)
    kind = type(handler)
    if (formatter is None or type(formatter) is logging.Formatter) and not handler.filters:
        if kind is logging.StreamHandler:
            for name in ("stderr", "stdout", "__stderr__", "__stdout__"):
                if handler.stream is getattr(sys, name, None):
                    return ["stream", name, handler.level, style, date]
        if kind is logging.FileHandler:
            return ["file", handler.baseFilename, handler.level, style, date]
        if kind is logging.NullHandler:
            return ["null", None, handler.level, style, date]
    return handler


def _made(form):
    if type(form) is not list:
        return form
    kind, place, level, style, date = form
    if kind == "stream":
        handler = logging.StreamHandler(getattr(sys, place))
    elif kind == "file":
        handler = logging.FileHandler(place, "a")
    else:
        handler = logging.NullHandler()
    handler.setLevel(level)
    if style is not None:
        handler.setFormatter(logging.Formatter(style, date))
    return handler

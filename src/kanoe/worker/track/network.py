"""Whether a cell connected to another machine: the key `network` of what it wrote."""

import socket

from kanoe_worker.track.plain import __builtins__  # noqa: F401


class Network(object):
    """Sees connections that Python's sockets make, and names that are looked up."""

    def __init__(self):
        self._used = False
        self._install()

    def owns(self, reference):
        """See `channels`."""
        return reference == "network"

    def begin(self):
        """See `channels`."""
        self._used = False

    def end(self):
        """See `channels`."""
        return {}, ({"network": True} if self._used else {})

    def restore(self, values):
        """See `channels`."""
        return {}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _install(self):
        for name in ("connect", "connect_ex", "sendto"):
            function = getattr(socket.socket, name)
            setattr(socket.socket, name, self._told(function, name))

    def _told(self, function, name):
        def wrapper(self_, *arguments):
            try:
                if self_.family != getattr(socket, "AF_UNIX", None) and not _is_here(
                    arguments[-1] if arguments else None
                ):
                    self._used = True
            except Exception:
                self._used = True
            return function(self_, *arguments)

        wrapper.__name__, wrapper.__qualname__, wrapper.__doc__ = name, "socket." + name, function.__doc__
        return wrapper


def _is_here(address):
    host = address[0] if isinstance(address, tuple) and address else None
    return isinstance(host, str) and (host.startswith("127.") or host in ("::1", "localhost", ""))

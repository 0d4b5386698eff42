"""Start of the worker: `python FOLDER CONFIGURATION`."""

import fcntl
import json
import os
import select
import signal
import sys

_F_SETSIG = 10  # fcntl(2)


def _end_with(descriptor):
    """Let the kernel kill this process when nobody holds the other end of a pipe any more: the Kanoe that started it is gone."""
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, _F_SETSIG, int(signal.SIGKILL))
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(descriptor, 0)
    if poll.poll(0):
        os.kill(os.getpid(), signal.SIGKILL)


def main():
    """Do what the configuration says: run a kernel, or try imports."""
    with open(sys.argv[1]) as file:
        configuration = json.load(file)
    if "lifeline" in configuration:
        _end_with(configuration["lifeline"])
    if "imports" in configuration:
        from kanoe_worker import probe

        probe.main(configuration)
    else:
        from kanoe_worker import kernel

        kernel.main(configuration)


main()

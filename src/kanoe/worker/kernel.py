"""Starts a real ipykernel that publishes over Unix sockets and loses no output.

The process is told what to do by one JSON file:

    connection  path of the Jupyter connection file
    log         path of a file for what the process itself says (tracebacks of a crash); nothing of the notebook goes there
    words       beginning of the paths of two files, `...stdout` and `...stderr`, that keep the end of what was printed
    tracking    what the tracker of cells is told, else null
    script      for a plain script: the path it should believe to be at (`__file__`, `sys.argv[0]`), else null
"""

import atexit
import ctypes
import faulthandler
import os
import signal
import sys

_SET_PDEATHSIG = 1  # prctl(2)


def main(configuration):
    """Run the kernel until it is told to shut down."""
    log = os.open(configuration["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)  # an interrupt goes to this group: the kernel and the children of its cells
    faulthandler.enable(file=log)
    _end_with_parent()
    del sys.path[0]  # the worker's folder: `python -m ipykernel_launcher` removes its own folder too
    app_class = _kernel_app_class()
    sys.argv = [sys.modules["ipykernel"].__path__[0] + "_launcher.py", "-f", configuration["connection"]]
    sys.argv.append("--HistoryManager.hist_file=:memory:")
    app = app_class.instance()
    app.initialize(sys.argv[1:])
    if configuration["script"]:
        sys.argv = [configuration["script"]]
        app.shell.user_ns["__file__"] = configuration["script"]
    _keep_streams(app.shell)
    _install_by_magic(app.shell)
    _remember_words(configuration["words"])
    if configuration.get("tracking"):
        _watch(app.kernel, configuration["tracking"], log)
    app.start()


def _watch(kernel, configuration, log):
    """Watch what cells read and write; where that is not possible the session runs them all the same."""
    try:
        from kanoe_worker.track.tracker import Tracker

        Tracker(kernel, configuration)
    except Exception:
        import traceback

        os.write(log, traceback.format_exc().encode("utf-8", "replace"))


def _remember_words(path):
    # Not before: what the start itself says belongs to no cell, and may come before anybody listens.
    from kanoe_worker import streams

    for name in ("stdout", "stderr"):
        streams.remember(getattr(sys, name), path + name)


def _end_with_parent():
    """Let this process be killed when the one that started it is gone: without a sandbox nothing else would end it."""
    try:
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def _install_by_magic(shell):
    """Let `%conda` and its like start the programs of these names; IPython's own refuse where there is no conda."""

    def magic(program):
        return lambda line: shell.system(program + " " + line)

    for program in ("conda", "mamba", "micromamba", "uv"):
        shell.register_magic_function(magic(program), "line", program)


def _keep_streams(shell):
    """Put a stream back that a cell took away: ipykernel flushes both before it answers, and would never answer."""
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}

    def restore():
        for name, stream in streams.items():
            if not hasattr(getattr(sys, name, None), "flush"):
                setattr(sys, name, stream)

    shell.events.register("post_execute", restore)


async def _nothing():
    pass


def _kernel_app_class():
    from ipykernel.kernelapp import IPKernelApp
    from kanoe_worker import streams

    class KernelApp(IPKernelApp):
        """ipykernel's own application, with streams that keep the order of file descriptor and Python writes."""

        def init_iopub(self, context):
            # ZeroMQ drops messages of a publisher past 1,000 waiting; a notebook's output must not be dropped.
            import zmq

            context.setsockopt(zmq.SNDHWM, 0)
            IPKernelApp.init_iopub(self, context)
            atexit.register(self._end_control)

        def init_io(self):
            self.outstream_class = "kanoe_worker.streams.OutStream"
            IPKernelApp.init_io(self)
            streams.capture(sys.stdout, 1)
            streams.capture(sys.stderr, 2)

        def init_kernel(self):
            IPKernelApp.init_kernel(self)
            # ipykernel would wait up to 29 s for children that nobody waited for; what is left ends with the sandbox.
            if hasattr(self.kernel, "_progressively_terminate_all_children"):
                self.kernel._progressively_terminate_all_children = _nothing

        def _end_control(self):
            # The last thing that the control thread does is to flush, which hangs for seconds if the thread of the output,
            # which ipykernel ends at exit, is gone meanwhile.
            control = getattr(self, "control_thread", None)
            if control is not None and control.is_alive():
                control.stop()
                control.join()

    return KernelApp

"""The run's own installations: a second virtual environment in its scratch, seen before the environment, which stays as it is.

`uv` resolves and installs there. So that it knows what the environment holds, a copy of the environment's metadata stands
there while it works, and is taken away afterwards: what it replaces is what the run replaces.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile

from kanoe_worker import installed

_DROPPED = ("UV_", "PIP_", "PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")
_SILENT = (
    "Using Python",
    "Resolved ",
    "Prepared ",
    "Installed ",
    "Uninstalled ",
    "Checked ",
    "Audited ",
    " + ",
    " - ",
    " ~ ",
)


class Overlay(object):
    """Where the run installs.

    Args:
        configuration: what Kanoe says: `uv` (the program), `python` and `modules` (the environment's interpreter and folder of
            distributions), `overlay` (the run's virtual environment), `installed` (its folder of distributions), `internet`,
            `variables` and `settings` (for uv), `as_of`, `run` (how a user would run it again).
    """

    def __init__(self, configuration):
        self.configuration = configuration
        self.internet = bool(configuration.get("internet"))
        self.folder = configuration["overlay"]
        self.modules = configuration["installed"]

    def distributions(self):
        """Return what a program sees, by normalised name."""
        return installed.distributions([self.modules, self.configuration["modules"]])

    def own(self):
        """Return what the run has installed, by normalised name."""
        return installed.distributions([self.modules])

    def satisfied(self, arguments):
        """Return whether the environment fulfils requirements, given as arguments of uv: itself, not what it needs."""
        folder = os.path.join(self.folder, "kanoe", "check")
        modules = os.path.join(folder, os.path.relpath(self.modules, self.folder))
        shutil.rmtree(modules, ignore_errors=True)
        python = self._interpreter(folder, modules)
        for one in self.distributions().values():
            _shadow(one, modules, needs=False)
        options = ["--python", python, "--offline", "--no-index", "--no-deps", "--dry-run"]
        code, _, said = self._uv(["pip", "install"] + options + arguments)
        return code == 0 and "Would make no changes" in said

    def install(self, arguments, show):
        """Install with uv.

        Args:
            arguments: for `uv pip install`.
            show: called with each line that is worth showing.

        Returns:
            The exit status, and the changes: `(sign, name, version)`, as uv writes them.
        """
        python = self._interpreter(self.folder, self.modules)
        with open(os.path.join(self.folder, "kanoe", "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            own = self.own()
            for key, one in installed.distributions([self.configuration["modules"]]).items():
                if key not in own:
                    _shadow(one, self.modules, needs=True)
            try:
                code, changes, _ = self._uv(["pip", "install", "--python", python] + arguments, show)
            finally:
                self._tidy()
        return code, changes

    def uninstall(self, names):
        """Take away what the run has installed; what stands in the environment is seen again."""
        python = self._interpreter(self.folder, self.modules)
        return self._uv(["pip", "uninstall", "--python", python] + names)[0]

    def check(self):
        """Return uv's exit status and words on whether everything has what it needs."""
        folder = os.path.join(self.folder, "kanoe", "whole")
        modules = os.path.join(folder, os.path.relpath(self.modules, self.folder))
        shutil.rmtree(modules, ignore_errors=True)
        python = self._interpreter(folder, modules)
        for one in self.distributions().values():
            _shadow(one, modules, needs=True)
        code, _, said = self._uv(["pip", "check", "--python", python])
        return code, said

    def _interpreter(self, folder, modules):
        """Return the interpreter of a virtual environment, made if it is not there; its programs stand apart from it."""
        python = os.path.join(folder, "kanoe", "python")
        if not os.path.exists(modules):
            os.makedirs(modules)
        if not os.path.exists(python):
            os.makedirs(os.path.dirname(python), exist_ok=True)
            base = self.configuration["python"]
            if os.path.islink(base):
                base = os.path.join(os.path.dirname(base), os.readlink(base))
            with open(os.path.join(folder, "pyvenv.cfg"), "w") as file:
                file.write("home = %s\ninclude-system-site-packages = false\n" % os.path.dirname(base))
            os.symlink(base, python)
        path = os.path.join(modules, "kanoe_environment.pth")
        if not os.path.exists(path):
            # Only the overlay's own interpreter, which its programs start with, must be told of the environment.
            with open(path, "w") as file:
                tell = "import site, sys; sys.prefix == %r and site.addsitedir(%r)\n"
                file.write(tell % (folder, self.configuration["modules"]))
        return python

    def _tidy(self):
        """Take the environment's metadata away, and what would be found before the standard library."""
        for entry in os.listdir(self.modules):
            path = os.path.join(self.modules, entry)
            if os.path.exists(os.path.join(path, installed.SHADOW)):
                shutil.rmtree(path, ignore_errors=True)
            elif entry.endswith(".pth") and entry != "kanoe_environment.pth":
                self._customize()
        library = os.path.dirname(os.__file__)
        for entry in os.listdir(self.modules):
            name = entry.partition(".")[0]
            if entry in (name, name + ".py") and _is_standard(name, library):
                path = os.path.join(self.modules, entry)
                (shutil.rmtree if os.path.isdir(path) else os.remove)(path)

    def _customize(self):
        """Let new Python processes read the `.pth` files, as they would in an environment."""
        with open(os.path.join(self.modules, "sitecustomize.py"), "w") as file:
            file.write(
                "import site, sys\nif sys.prefix != %r:\n    site.addsitedir(%r)\n" % (self.folder, self.modules)
            )

    def _uv(self, arguments, show=None):
        """Run uv; returns its exit status, its changes and what it said."""
        configuration = self.configuration
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
        variables.update(configuration.get("variables") or {})
        variables.update(
            UV_CACHE_DIR=os.path.join(self.folder, "kanoe", "cache"),
            UV_PYTHON_DOWNLOADS="never",
            UV_NO_PROGRESS="1",
            NO_COLOR="1",
        )
        with tempfile.TemporaryDirectory() as scratch:
            settings = os.path.join(scratch, "uv.toml")
            with open(os.open(settings, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(configuration.get("settings") or "")
            command = [configuration["uv"]] + arguments + ["--config-file", settings]
            said = []
            with open(os.path.join(scratch, "out"), "w+b") as out:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, env=variables
                )
                for data in process.stderr:
                    line = self._masked(data.decode("utf-8", "replace").rstrip("\n"))
                    said.append(line)
                    if show is not None and line.strip() and not line.startswith(_SILENT):
                        show(line)
                process.stderr.close()
                code = process.wait()
                out.seek(0)
                text = out.read().decode("utf-8", "replace")
        return code, _changes(said), "\n".join(said) + "\n" + text

    def _masked(self, line):
        for secret in self.configuration.get("masked") or ():
            line = line.replace(secret, "****")
        return line


def _changes(lines):
    """Return what uv says it has done: ` + six==1.17.0`, ` - six==1.15.0`, ` ~ six==1.17.0 (from file:///...)`."""
    found = [re.match(r" ([-+~]) ([A-Za-z0-9._-]+)==(\S+)", line) for line in lines]
    return [match.groups() for match in found if match]


def _shadow(one, modules, needs):
    """Write metadata that stands for an installed distribution; uv can take it away as if it were one."""
    name = "%s-%s.dist-info" % (one.key.replace("-", "_"), one.version)
    folder = os.path.join(modules, name)
    os.makedirs(folder, exist_ok=True)
    lines = ["Metadata-Version: 2.1", "Name: " + one.name, "Version: " + one.version]
    for title in ("Requires-Dist", "Provides-Extra") if needs else ("Provides-Extra",):
        lines += ["%s: %s" % (title, " ".join(value.split())) for value in one.headers.get(title.lower()) or ()]
    wheel = "Wheel-Version: 1.0\nGenerator: kanoe\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"METADATA": "\n".join(lines) + "\n", "WHEEL": wheel, installed.SHADOW: ""}
    try:
        with open(os.path.join(one.information, "direct_url.json"), encoding="utf-8") as file:
            files["direct_url.json"] = file.read()
    except OSError:
        pass
    files["RECORD"] = "".join("%s/%s,,\n" % (name, file) for file in sorted(files) + ["RECORD"])
    for file, text in files.items():
        with open(os.path.join(folder, file), "w", encoding="utf-8") as written:
            written.write(text)


def _is_standard(name, library):
    if name == "sitecustomize":  # Debian's library has one; ours stands for it
        return False
    if name in sys.builtin_module_names or name in getattr(sys, "stdlib_module_names", ()):
        return True
    return os.path.exists(os.path.join(library, name + ".py")) or os.path.exists(
        os.path.join(library, name, "__init__.py")
    )

"""Code of a stranger that is run by a build: it tries what it must not be able to do, and says in its wheel what became of it."""

# ruff: noqa: PTH101, PTH102, PTH118, PTH123, PTH211, SIM115 - as a stranger would write it

import json
import os
import subprocess
import sys
import zipfile

KNOWN = json.loads("""@KNOWN@""")  # what a stranger may have guessed: absolute paths of the host


def tries():
    """Yield what is tried: a name and a function that must fail, or return nothing."""
    yield "read home", lambda: open(KNOWN["secret"]).read()
    yield "list home", lambda: os.listdir(KNOWN["home"])
    yield "secrets among variables", lambda: [value for value in os.environ.values() if "hunter2" in value]
    yield "secrets of processes", lambda: [pid for pid in os.listdir("/proc") if pid.isdigit() and told(pid)]
    for name in ("home", "cache", "store", "temporary", "other"):
        yield "write " + name, lambda name=name: write(os.path.join(KNOWN[name], "stranger-was-here"))
    yield "change another environment", lambda: write(KNOWN["file"]) or "done"
    yield "change the interpreter", lambda: write(os.path.join(sys.base_prefix, "lib", "stranger-was-here")) or "done"
    yield "change what builds", lambda: write(__import__(KNOWN["tool"]).__file__) or "done"
    yield "mark what builds", lambda: os.chmod(__import__(KNOWN["tool"]).__file__, 0o777) or "done"


def told(pid):
    try:
        with open("/proc/" + pid + "/environ", "rb") as file:
            return b"hunter2" in file.read()
    except OSError:
        return False


def write(path):
    with open(path, "a") as file:
        file.write("changed")
    # A folder of that name may be there, one's own: the host is looked at afterwards.


def leave(folder):
    """Leave a process, and links that lead out where uv looks next."""
    if not KNOWN:
        return
    subprocess.Popen(
        ["sleep", KNOWN["number"]], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    root = os.environ["VIRTUAL_ENV"]
    for place in (root, folder, "."):
        for name in ("share", "etc", "link", "other-1.0-py3-none-any.whl"):
            if not os.path.lexists(os.path.join(place, name)):
                os.symlink(KNOWN["home"], os.path.join(place, name))


def report():
    found = {}
    for name, attempt in tries() if KNOWN else ():
        try:
            found[name] = str(attempt() or "")
        except (OSError, ImportError) as cause:
            found[name] = ""
            found["why not " + name] = str(cause)
    return json.dumps(found)


METADATA = "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n"


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    report()
    leave(metadata_directory)
    information = "stranger-1.0.dist-info"
    os.mkdir(os.path.join(metadata_directory, information))
    with open(os.path.join(metadata_directory, information, "METADATA"), "w") as file:
        file.write(METADATA)
    return information


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "stranger-1.0-py3-none-any.whl"
    information = "stranger-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        archive.writestr("stranger.py", "import json\nfound = json.loads(" + repr(report()) + ")\n")
        archive.writestr(information + "METADATA", METADATA)
        archive.writestr(
            information + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(information + "RECORD", "")
    leave(wheel_directory)
    return name

"""Messages that need a server, a compiler or another release of uv to come about; the others stand in the tests of what asks."""

from __future__ import annotations

import pytest

from kanoe.environments.complaints import read_complaint
from kanoe.environments.tables import read_pairs

OLD_STYLE = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because pandas==2.2.0 depends on numpy{python_full_version < '3.12'}>=1.23.2,<2 and you require
      pandas==2.2.0, we can conclude that you require numpy>=1.23.2,<2.
      And because you require numpy<1.20, we can conclude that your requirements are unsatisfiable.
"""
NO_LIBRARY = """\
   Building tool==1.0
error: Failed to build `tool==1.0`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta:__legacy__.build_wheel` failed (exit status: 1)

         [stdout]
         running build_ext

         [stderr]
         tool.c:1:10: fatal error: zlib.h: No such file or directory
             1 | #include <zlib.h>
         compilation terminated.
         error: command 'gcc' failed with exit code 1

hint: This error likely indicates that you need to install a library that provides `zlib.h` for `tool@1.0`
"""
TRACEBACK = """\
error: Failed to download and build `old==0.1`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta:__legacy__.prepare_metadata_for_build_wheel` failed (exit status: 1)

         [stderr]
         Traceback (most recent call last):
           File "<string>", line 14, in <module>
         ModuleNotFoundError: No module named 'numpy'

hint: Build failures usually indicate a problem with the package or the build environment
"""
CASES = {
    "old style": (
        OLD_STYLE,
        "requirements-unsolvable",
        ("pandas", "numpy"),
        "depends on numpy>=1.23.2,<2 and you",
        True,
    ),
    "library": (NO_LIBRARY, "build-failed", ("tool",), "zlib.h: No such file", False),
    "traceback": (TRACEBACK, "build-failed", ("old",), "ModuleNotFoundError: No module named 'numpy'", False),
    "no cache": (
        (
            "error: Failed to initialize cache at `home/.cache/uv`\n"
            "  cause: failed to create directory `/home/.cache/uv`: Permission denied (os error 13)"
        ),
        "store-unusable",
        (),
        "uv's cache `home/.cache/uv` cannot be used: Permission denied",
        False,
    ),
    "disk": (
        "error: Failed to install: a.whl (a==1)\n  cause: failed to copy file: No space left on device (os error 28)",
        "store-unusable",
        (),
        "the disk is full",
        False,
    ),
    "dns": (
        (
            "error: Request failed after 3 retries in 11.0s\n  cause: Failed to fetch: https://pypi.example/simple/six/\n"
            "  cause: client error (Connect)\n  cause: dns error\n"
            "  cause: failed to lookup address information: Name or service not known\n"
        ),
        "registry-unreachable",
        (),
        "`pypi.example` does not answer: failed to lookup address",
        False,
    ),
    "server": (
        (
            "error: Failed to fetch: https://me:secret@pypi.example/simple/six/\n"
            "  cause: HTTP status server error (503 Service Unavailable) for url (https://pypi.example/simple/six/)"
        ),
        "registry-unreachable",
        (),
        "503 Service Unavailable",
        False,
    ),
    "credentials": (
        (
            "error: No solution found when resolving dependencies\n  cause: Because six was not found in the package registry and "
            "you require six, we can conclude that your requirements are unsatisfiable.\n\nhint: An index URL (https://pypi.example) "
            "could not be queried due to a lack of valid authentication credentials (401 Unauthorized)"
        ),
        "registry-unreachable",
        (),
        "401 Unauthorized",
        False,
    ),
    "python": (
        (
            "error: No solution found when resolving dependencies\n  cause: Because the current Python version (3.8.18) does not "
            "satisfy Python>=3.9 and scipy>=1.12.0,<=1.13.1 depends on Python>=3.9, we can conclude that ..."
        ),
        "requirements-unsolvable",
        ("scipy",),
        "needs Python >=3.9, and this is Python 3.8.18",
        True,
    ),
    "git": (
        (
            "error: Failed to download and build `foo @ git+https://x.example/foo.git`\n  cause: Git operation failed\n"
            "  cause: failed to clone into: /c\n  cause: process didn't exit successfully: `git fetch` (exit status: 128)\n"
            "         --- stderr\n         fatal: unable to access 'https://x.example/foo.git/': Could not resolve host: x.example\n"
        ),
        "registry-unreachable",
        (),
        "Could not resolve host",
        False,
    ),
    "nothing": ("", "build-failed", (), "uv failed: it gave no reason", False),
    "strange": ("error: the moon is in the way\n", "build-failed", (), "uv failed: the moon is in the way", False),
    "warnings": (
        "warning: Failed to hardlink files; falling back to full copy.\nerror: Hash mismatch for `six==1.16.0`\n",
        "build-failed",
        ("six",),
        "`six` 1.16.0 is not the one",
        True,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_complaints(case: str) -> None:
    text, code, names, words, available = CASES[case]
    found = read_complaint(text)
    assert (found.code, found.names, found.available) == (code, names, available)
    assert words in found.message
    assert "secret" not in found.message
    assert "\n" not in found.message


def test_a_long_explanation_is_shortened() -> None:
    found = read_complaint(
        "error: No solution found when resolving dependencies\n  cause: Because " + "a needs b and " * 500
    )
    assert len(found.message) < 700
    assert found.message.endswith(" ...")


def test_a_missing_library_is_named() -> None:
    assert "zlib.h" in (read_complaint(NO_LIBRARY).hint or "")


LACKS = {
    "tool.c:1:10: fatal error: libpq-fe.h: No such file or directory": "apt install libpq-dev",
    "Error: pg_config executable not found.": "apt install libpq-dev",
    "OSError: mysql_config not found": "apt install default-libmysqlclient-dev",
    "Error: Please make sure the libxml2 and libxslt development packages are installed.": "apt install libxml2-dev libxslt1-dev",
    "A GDAL API version must be specified. FileNotFoundError: [Errno 2] No such file or directory: 'gdal-config'": "libgdal-dev",
    "error: command 'gcc' failed: No such file or directory": "apt install build-essential",
    "unable to execute 'x86_64-linux-gnu-gcc': No such file or directory": "apt install build-essential",
    "error: can't find Rust compiler": "apt install cargo",
    "FileNotFoundError: [Errno 2] No such file or directory: 'cmake'": "apt install cmake build-essential",
    "RuntimeError: Broken toolchain: cannot link a simple C program": "apt install build-essential",
    "numpy.distutils.system_info.NotFoundError: No lapack/blas resources found.": "apt install libopenblas-dev",
    "ModuleNotFoundError: No module named 'numpy'": None,
    "error: command 'gcc' failed with exit code 1": None,
    "    mysql_config.c: In function 'main':": None,
}


@pytest.mark.parametrize("line", LACKS)
def test_what_a_build_lacks(line: str) -> None:
    text = TRACEBACK.replace("ModuleNotFoundError: No module named 'numpy'", line)
    hint, package = read_complaint(text).hint or "", LACKS[line]
    assert (package in hint) if package else ("apt" not in hint)


@pytest.mark.parametrize("mark", read_pairs("libraries"))
def test_every_row_is_found(mark: str) -> None:
    hint = read_complaint(NO_LIBRARY.replace("zlib.h", mark)).hint or ""
    assert f"apt install {read_pairs('libraries')[mark]}`" in hint

"""What programs see of process 1, which builds the walls: a process of that name that tells nothing.

Programs that list processes (psutil, `ps`, ray, dask) take a process without these files for a broken `/proc`, and fail:
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html and its neighbours.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_NAME = "init"
# Of 52 fields: after the name and the state the parent, its group and session; the 20th is how many threads, the 22nd when it began.
_STAT = "1 ({name}) S 0 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {began} 2457600 256" + " 0" * 28 + "\n"
_STATUS = """\
Name:\t{name}
Umask:\t0022
State:\tS (sleeping)
Tgid:\t1
Ngid:\t0
Pid:\t1
PPid:\t0
TracerPid:\t0
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
FDSize:\t64
Groups:\t
VmSize:\t    2400 kB
VmRSS:\t    1024 kB
Threads:\t1
voluntary_ctxt_switches:\t0
nonvoluntary_ctxt_switches:\t0
"""
_FOR_THE_OWNER = ("environ", "io", "maps", "mem", "smaps", "smaps_rollup")
_LINKS = ("cwd", "exe", "root")


def write_first_process(folder: Path) -> Path:
    """Make a folder as `/proc/1` is, of a process that nobody else may look into; return it."""
    began = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
    texts = {
        "stat": _STAT.format(name=_NAME, began=began),
        "status": _STATUS.format(name=_NAME),
        "statm": "600 256 200 100 0 100 0\n",
        "comm": f"{_NAME}\n",
        "cmdline": "",
        "cgroup": "0::/\n",
    }
    for place in (folder, folder / "task" / "1"):
        (place / "fd").mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (place / name).write_text(text)
    for name in _FOR_THE_OWNER:
        (folder / name).touch(mode=0)
    for name in _LINKS:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to("/nonexistent")
    return folder

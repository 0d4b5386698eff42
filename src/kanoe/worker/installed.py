"""What is installed: the environment's distributions and those that the run has added, as pip lists them.

Read from the folders of metadata themselves: `importlib.metadata` is not there before Python 3.8.
"""

import csv
import json
import os
import re

SHADOW = "kanoe-shadow"  # a file in metadata that only stands for the environment's


class Distribution(object):
    """One installed distribution.

    Args:
        information: the path of its `.dist-info` or `.egg-info`.
        headers: its metadata: lists of values by lower-case name.
    """

    def __init__(self, information, headers):
        self.information = information
        self.headers = headers
        self.name = headers["name"][0]
        self.version = (headers.get("version") or ["0"])[0]
        self.key = normalise(self.name)

    @property
    def location(self):
        """The folder that it is installed in."""
        return os.path.dirname(self.information)

    def header(self, name):
        """Return a value of the metadata, or nothing."""
        return (self.headers.get(name.lower()) or [""])[0]

    @property
    def requires(self):
        """The names that it needs, those of its extras left out."""
        found = []
        for text in self.headers.get("requires-dist") or ():
            name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)
            if name and "extra" not in text.partition(";")[2] and name.group() not in found:
                found.append(name.group())
        return found

    @property
    def files(self):
        """The paths of its files, relative to its location."""
        try:
            with open(os.path.join(self.information, "RECORD"), encoding="utf-8", errors="replace") as file:
                return sorted(row[0] for row in csv.reader(file) if row)
        except OSError:
            return []

    @property
    def pinned(self):
        """The line of `pip freeze`."""
        try:
            with open(os.path.join(self.information, "direct_url.json"), encoding="utf-8") as file:
                said = json.load(file)
            vcs = said.get("vcs_info")
            url = "%s+%s@%s" % (vcs["vcs"], said["url"], vcs["commit_id"]) if vcs else said["url"]
            return "%s @ %s" % (self.name, url)
        except (OSError, ValueError, KeyError, TypeError):
            return "%s==%s" % (self.name, self.version)


def normalise(name):
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(folders):
    """Return what is installed in `folders`, by normalised name; an earlier folder wins."""
    found = {}
    for folder in folders:
        for entry in _names(folder):
            if entry.endswith((".dist-info", ".egg-info")):
                one = _read(os.path.join(folder, entry))
                if one is not None:
                    found.setdefault(one.key, one)
    return found


def _names(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _read(path):
    if os.path.exists(os.path.join(path, SHADOW)):
        return None
    for file in (os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO"), path):
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                headers = _headers(lines)
        except OSError:
            continue
        return Distribution(path, headers) if headers.get("name") else None
    return None


def _headers(lines):
    headers = {}
    last = None
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            break
        if line[0] in " \t":
            if last:
                headers[last][-1] += "\n" + line.strip()
            continue
        name, _, value = line.partition(":")
        last = name.strip().lower()
        headers.setdefault(last, []).append(value.strip())
    return headers


def listed(found, form):
    """Return the text of `pip list`: `columns`, `freeze` or `json`."""
    rows = sorted(((one.name, one.version) for one in found.values()), key=lambda row: row[0].lower())
    if form == "json":
        return json.dumps([{"name": name, "version": version} for name, version in rows])
    if form == "freeze":
        return "\n".join("%s==%s" % row for row in rows)
    if not rows:
        return ""
    widths = [
        max([len(title)] + [len(row[column]) for row in rows]) for column, title in enumerate(("Package", "Version"))
    ]
    lines = [("Package", "Version"), ("-" * widths[0], "-" * widths[1])] + rows
    return "\n".join(("%-*s %s" % (widths[0], name, version)).rstrip() for name, version in lines)


def frozen(found, everything):
    """Return the lines of `pip freeze`."""
    hidden = () if everything else ("pip", "setuptools", "wheel", "distribute")
    return [one.pinned for key, one in sorted(found.items()) if key not in hidden]


def shown(found, one, with_files):
    """Return the text of `pip show` for one distribution."""
    needed_by = [other.name for other in found.values() if one.key in map(normalise, other.requires)]
    lines = ["Name: " + one.name, "Version: " + one.version]
    for title in ("Summary", "Home-page", "Author", "Author-email", "License"):
        value = one.header(title)
        if title == "License":
            value = value or one.header("License-Expression")
        lines.append("%s: %s" % (title, value))
    lines.append("Location: " + one.location)
    lines.append("Requires: " + ", ".join(sorted(one.requires, key=str.lower)))
    lines.append("Required-by: " + ", ".join(sorted(needed_by, key=str.lower)))
    if with_files:
        lines += ["Files:"] + ["  " + file for file in one.files]
    return "\n".join(lines)

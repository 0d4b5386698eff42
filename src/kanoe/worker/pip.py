"""`pip`, `conda`, `uv`, `easy_install` and `apt-get` as a cell finds them: three rules, and the words of the real ones.

1. What is there already is not installed again.
2. With the internet, or where the files lie on this machine, it is really installed: into the run's own overlay.
3. Else one line says what is missing and how to get it.

The environment is never changed. `KANOE_INSTALLS` names the JSON file of settings that `Overlay` describes.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

from kanoe_worker import installed, overlay

_CONDAS = ("conda", "mamba", "micromamba")
_LETTERS = {
    "r": "--requirement",
    "c": "--constraint",
    "e": "--editable",
    "f": "--find-links",
    "i": "--index-url",
    "t": "--target",
    "U": "--upgrade",
    "q": "--quiet",
    "v": "--verbose",
    "I": "--force-reinstall",
    "V": "--version",
    "h": "--help",
    "n": "--name",
    "p": "--prefix",
    "b": "--build",
    "C": "--config-settings",
    "d": "--dest",
    "y": "--yes",
}
_CONDA_LETTERS = dict(
    _LETTERS, c="--channel", f="--force-reinstall", d="--dry-run", C="--use-index-cache", k="--insecure"
)
_VALUES = frozenset(
    """--requirement --requirements --constraint --constraints --editable --index-url --extra-index-url --default-index --index
    --find-links --target --prefix --root --src --build --platform --python-version --implementation --abi --python --proxy
    --retries --timeout --exists-action --trusted-host --cert --client-cert --cache-dir --log --progress-bar --report
    --upgrade-strategy --upgrade-package --only-binary --no-binary --use-feature --use-deprecated --global-option --install-option
    --build-option --config-settings --root-user-action --exclude-newer --index-strategy --keyring-provider --link-mode
    --prerelease --resolution --format --dest --path --group --reinstall-package --allow-insecure-host""".split()
)
_CONDA_VALUES = frozenset("--channel --name --prefix --file --solver --repodata-fn --subdir --python".split())
# uv understands these as pip does; those of the first group say only where things are.
_INDEX = frozenset(
    "--index-url --extra-index-url --default-index --index --index-strategy --allow-insecure-host".split()
)
_PASSED = frozenset(
    "--constraint --only-binary --no-binary --no-deps --no-build-isolation --require-hashes --prerelease --reinstall".split()
)
_SAME = {
    "--requirements": "--requirement",
    "--constraints": "--constraint",
    "--trusted-host": "--allow-insecure-host",
    "--force-reinstall": "--reinstall",
    "--ignore-installed": "--reinstall",
}
_LOCAL = re.compile(r"file:|\.{0,2}/|~|\.{1,2}$|[^@]*\.(?:whl|zip|tar|tgz|tar\.gz|tar\.bz2|tar\.xz)(?:\[[^\]]*\])?$")
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[|@|[<>=!~;(\s]|$)")


class Command(object):
    """A command line that is understood.

    Args:
        verb: `install`, `list`, ...
        words: what is no option.
        options: `(name, value)`, long names.
    """

    def __init__(self, verb, words, options):
        self.verb = verb
        self.words = words
        self.options = options

    def has(self, name):
        """Return whether an option was given."""
        return any(option == name for option, _ in self.options)

    def values(self, name):
        """Return the values of an option."""
        return [value for option, value in self.options if option == name]


def main(arguments):
    """Do what a command line says: the program's name, then its arguments. Returns the exit status."""
    program = re.sub(r"-?[\d.]*$", "", os.path.basename(arguments[0]))
    try:
        if program in ("apt", "apt-get", "aptitude"):
            return _apt(program, arguments[1:])
        if program == "uv" and arguments[1:2] not in (["pip"], ["add"]):
            return _real_uv(arguments[1:])
        rest = arguments[2:] if program == "uv" and arguments[1] == "pip" else arguments[1:]
        if program == "easy_install":
            rest = ["install"] + rest
        command = _parse(rest, program in _CONDAS)
        if program in _CONDAS:
            command = _as_pip(command)
        return _VERBS.get(command.verb, _other)(_Session(program, command, rest))
    except KeyboardInterrupt:
        _say("ERROR: Operation cancelled by user", error=True)
        return 130
    except BrokenPipeError:
        return 1
    finally:
        if "importlib" in sys.modules:
            sys.modules["importlib"].invalidate_caches()


class _Session(object):
    """One call: what was asked, and what it works on."""

    def __init__(self, program, command, arguments):
        self.program = program
        self.command = command
        self.arguments = arguments
        self.configuration = _configuration()
        self.overlay = overlay.Overlay(self.configuration) if self.configuration else None
        self.quiet = command.has("--quiet")

    @property
    def distributions(self):
        """What is installed, by normalised name."""
        if self.overlay is not None:
            return self.overlay.distributions()
        return installed.distributions([path for path in sys.path if path.endswith("-packages")])

    def say(self, text):
        """Print, unless it should be quiet."""
        if not self.quiet:
            _say(text)


def _configuration():
    try:
        with open(os.environ["KANOE_INSTALLS"], encoding="utf-8") as file:
            return json.load(file)
    except (KeyError, OSError, ValueError):
        return None


def _say(text, error=False):
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


def _parse(arguments, conda):
    """Return the command of pip's, uv's or conda's arguments."""
    letters, takes = (_CONDA_LETTERS, _CONDA_VALUES) if conda else (_LETTERS, _VALUES)
    words, options = [], []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not word.strip():
            continue
        if word == "--":
            words += waiting
            break
        if words[:1] == ["show"] and word == "-f":
            options.append(("--files", ""))
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            name = _SAME.get(name, name)
            if name in takes and not equals:
                value = waiting.pop(0) if waiting else ""
            options.append((name, value))
        elif word.startswith("-") and len(word) > 1:
            waiting[:0] = _letters(word[1:], letters, takes)
        else:
            words.append(word)
    verb = words.pop(0) if words else ("--version" if ("--version", "") in options else "help")
    if verb == "env" and words[:1] == ["list"]:
        verb = "help"
    return Command("install" if verb == "add" else verb, words, options)


def _letters(text, letters, takes):
    """Return long options for `-qU` or `-rFILE`."""
    found = []
    while text:
        name = letters.get(text[0], "--ignored")
        if name in takes:
            rest = text[1:]
            found.append("%s=%s" % (name, rest[1:] if rest[:1] == "=" else rest) if rest else name)
            break
        found.append(name)
        text = text[1:]
    return found


def _as_pip(command):
    """Return what a command of conda's means to pip."""
    verb = {"remove": "uninstall", "update": "install", "upgrade": "install", "create": "help"}.get(
        command.verb, command.verb
    )
    if verb not in ("install", "uninstall"):
        return Command(verb, command.words, command.options)
    names = (_configuration() or {}).get("conda") or {}
    words = []
    for word in command.words:
        match = re.match(r"(?:[\w.-]+::)?([A-Za-z0-9_][\w.-]*)\s*(.*)$", word)
        name = match.group(1).lower() if match else ""
        name = names.get(name, "" if name.startswith(("_", "lib")) or name in ("python", "pip") else name)
        if name:
            words.append(name + _conda_versions(match.group(2)))
    files = [("--requirement", value) for value in command.values("--file")]
    return Command(verb, words, files + [option for option in command.options if option[0] in ("--quiet", "--no-deps")])


def _conda_versions(text):
    text = text.strip().strip("[]'\"")
    if not text or text[0] in "<>!~":
        return text
    exact = text.startswith("==")
    version = text.lstrip("= ").partition("=")[0].strip()
    if not re.match(r"\d", version):
        return ""
    return "==%s%s" % (version, "" if exact or version.endswith("*") else ".*")


def _install(session):
    """Install, by the three rules."""
    command, configuration = session.command, session.configuration
    if configuration is None:
        _say(
            "ERROR: this process has lost the variable KANOE_INSTALLS, without which nothing can be installed",
            error=True,
        )
        return 1
    command.words = [
        word for word in command.words if not re.match(r"pip\s*(?:[<>=!~]|$)", word) or session.say(_own_pip())
    ]
    files = command.values("--requirement")
    missing = [file for file in files if not re.match(r"https?:", file) and not os.path.isfile(file)]
    if missing:
        _say(
            "ERROR: Could not open requirements file: [Errno 2] No such file or directory: %r" % missing[0], error=True
        )
        return 1
    if not command.words and not files and not command.values("--editable"):
        return 0 if session.arguments[1:] else _nothing()
    known = {word: _known(session, word) for word in command.words + command.values("--editable")}
    if None not in known.values():
        wanted = [text for text in known.values() if text] + ["--requirement=" + file for file in files]
        constraints = ["--constraint=" + file for file in command.values("--constraint")]
        if not wanted or session.overlay.satisfied(wanted + constraints):
            return _already(session)
    command.words = [word for word in command.words if not _is_link(word) or known[word] is None]
    local = _is_local(command)
    if not session.overlay.internet and not local:
        return _refuse(session)
    return _really_install(session, local)


def _known(session, word):
    """Return what to ask of the environment in place of an argument: a requirement, nothing if it has it, `None` if it cannot know."""
    wheel = re.match(r"(?:.*/)?([A-Za-z0-9_.]+)-([^-/]+)(?:-\d[^-/]*)?-[^-/]+-[^-/]+-[^-/]+\.whl$", word)
    if wheel and not _is_link(word):
        return "%s==%s" % wheel.groups()
    if _is_link(word):
        return "" if _has_link(session, word) else None
    return None if _paths([word]) else word


def _has_link(session, word):
    """Return whether the environment was built with this repository or file; a tag or branch is taken for the commit that it had."""
    address, state = _address(word)
    held = [one.pinned.partition(" @ ")[2] for one in session.distributions.values()]
    for other in [url for url in held if url] + list(session.configuration.get("links") or ()):
        there, commit = _address(other)
        if there == address and (not re.match(r"[0-9a-f]{7,40}$", state) or commit.startswith(state)):
            return True
    return False


def _address(link):
    """Return where a link leads, in one spelling, and which state of it."""
    link = re.sub(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?\s*@\s*(?=\w+[+:])", "", link.strip()).partition("#")[0]
    link = re.sub(r"^(?:git\+)?(?:\w+://)?(?:[^/@]*@)?", "", link)
    address, _, state = link.partition("@")
    address = re.sub(r"(?:\.git)?/?$", "", address.replace(":", "/"))
    return address.lower(), state


def _own_pip():
    return "Requirement already satisfied: pip in %s (%s)" % (
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        _version(),
    )


def _nothing():
    _say('ERROR: You must give at least one requirement to install (see "pip help install")', error=True)
    return 1


def _is_link(word):
    return re.match(r"(?:git|hg|svn|bzr)\+|(?:https?|ftp|ssh)://|git@", word) or re.search(
        r"@\s*(?:git\+|https?:|file:)", word
    )


def _paths(words):
    return [
        word for word in words if _LOCAL.match(word) or (os.sep in word and os.path.exists(word)) or "@ file:" in word
    ]


def _is_local(command):
    """Return whether what is asked for lies, or may lie, on this machine."""
    if _paths(command.words + command.values("--editable")):
        return True
    return any(not re.match(r"https?:", value) for value in command.values("--find-links"))


def _requirements(session):
    """Return the requirements of a command line, those of its files too."""
    found = list(session.command.words)
    for path in session.command.values("--requirement"):
        found += _lines_of(path, set())
    return found


def _lines_of(path, seen):
    found = []
    if path in seen or re.match(r"https?:", path):
        return found
    seen.add(path)
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read().replace("\\\n", " ")
    for line in text.splitlines():
        line = re.sub(r"(?:^|\s)#.*$", "", line).strip()
        nested = re.match(r"(?:-r|--requirement)[\s=]*(.+)$", line)
        if nested:
            other = os.path.join(os.path.dirname(path), nested.group(1).strip())
            found += _lines_of(other, seen) if os.path.isfile(other) else []
        elif line and not line.startswith("-"):
            found.append(re.split(r"\s--", line)[0].strip())
    return found


def _already(session):
    """Say in pip's words that everything is there."""
    found = session.distributions
    for text in _requirements(session):
        match = _NAME.match(_known(session, text) or "")
        one = found.get(installed.normalise(match.group(1))) if match else None
        if _is_link(text) or (_paths([text]) and one is None):
            session.say("Requirement already satisfied: %s" % text)
        elif one is None:
            session.say("Ignoring %s: markers do not match your environment" % text.partition(";")[0].strip())
        elif session.program in _CONDAS:
            session.say("# %s %s is installed" % (one.name, one.version))
        else:
            session.say("Requirement already satisfied: %s in %s (%s)" % (text, one.location, one.version))
    if session.program in _CONDAS:
        session.say("\n# All requested packages already installed.\n")
    return 0


def _refuse(session):
    """Say what is missing and how to get it; returns pip's exit status."""
    found = session.distributions
    lacking, with_options = [], []
    for text in _requirements(session) + session.command.values("--editable"):
        if not _is_link(text) and session.overlay.satisfied([text]):
            continue
        match = _NAME.match(text)
        one = found.get(installed.normalise(match.group(1))) if match and not _is_link(text) else None
        lacking.append("%s (the environment has %s)" % (text, one.version) if one else text)
        with_options.append("--with %s" % shlex.quote(re.sub(r"\s+", "", text) if ";" not in text else text))
    run = session.configuration.get("run") or "kanoe run NOTEBOOK"
    verb = "is" if len(lacking) == 1 else "are"
    what = ", ".join(lacking) or "something that a file names"
    first = "`%s %s` puts it into the environment; " % (run, " ".join(with_options)) if with_options else ""
    # One line: what a reader of a log looks for stands together.
    line = "ERROR: %s %s not installed, and the run has no internet. %s`%s --internet` lets it be installed"
    _say(line % (what, verb, first, run), error=True)
    return 1


def _really_install(session, local):
    shown = []
    code, changes = session.overlay.install(
        _for_uv(session), lambda line: shown.append(line) or _progress(session, line)
    )
    if code == 0:
        _report(session, changes)
        return 0
    for line in shown:
        if not _is_progress(line):
            _say(line if not line.startswith("error: ") else "ERROR: " + line[7:], error=True)
    if local and not session.overlay.internet:
        run = session.configuration.get("run") or "kanoe run NOTEBOOK"
        _say("ERROR: the files here do not suffice, and the run has no internet: `%s --internet`" % run, error=True)
    return 1


def _for_uv(session):
    """Return what `uv pip install` is told."""
    command, internet = session.command, session.overlay.internet
    arguments = list(command.words) + ["--requirement=" + file for file in command.values("--requirement")]
    arguments += ["--editable=" + path for path in command.values("--editable")]
    passed = _PASSED | {"--find-links", "--target"} | (_INDEX if internet else frozenset())
    arguments += ["%s=%s" % (name, value) if value else name for name, value in command.options if name in passed]
    if command.has("--pre"):
        arguments.append("--prerelease=allow")
    if command.has("--upgrade"):
        names = [_NAME.match(word) for word in command.words]
        arguments += ["--upgrade-package=" + match.group(1) for match in names if match]
    if session.configuration.get("as_of"):
        arguments.append("--exclude-newer=" + session.configuration["as_of"])
    if not internet or command.has("--no-index"):
        arguments.append("--no-index")
    if not internet:
        arguments.append("--offline")
        if _paths(command.words + command.values("--editable")):
            arguments.append("--no-build-isolation")
    return arguments


def _is_progress(line):
    return line.startswith(
        (
            "Downloading ",
            " Downloaded ",
            "Downloaded ",
            "   Building ",
            "Building ",
            "      Built ",
            "Updating ",
            "Updated ",
        )
    )


def _progress(session, line):
    if _is_progress(line):
        session.say(line.strip())


def _report(session, changes):
    """Say in pip's words what was installed."""
    added = {name: version for action, name, version in changes if action in "+~"}
    for action, name, version in changes:
        if action == "-":
            session.say(
                "Found existing installation: %s %s (this run now sees another; the environment keeps it)"
                % (name, version)
            )
    if not added:
        _already(session)
    else:
        session.say("Successfully installed " + " ".join("%s-%s" % row for row in sorted(added.items())))


def _uninstall(session):
    """Take away what the run has installed; the environment is read-only."""
    if session.overlay is None:
        return 0
    own, found, names = session.overlay.own(), session.distributions, []
    for text in _requirements(session):
        key = installed.normalise(re.split(r"[<>=!~\[; ]", text)[0])
        if key in own:
            names.append(own[key].name)
        elif key in found:
            one = found[key]
            session.say(
                "Not uninstalling %s %s at %s: the environment of a run is read-only"
                % (one.name, one.version, one.location)
            )
        else:
            _say("WARNING: Skipping %s as it is not installed." % text, error=True)
    if names:
        code = session.overlay.uninstall(names)
        for name in names if code == 0 else ():
            session.say("Successfully uninstalled %s-%s" % (name, own[installed.normalise(name)].version))
    return 0


def _list(session):
    found = session.distributions
    if session.command.has("--outdated"):
        return 0
    form = (session.command.values("--format") or ["json" if session.command.has("--json") else "columns"])[-1]
    if session.program in _CONDAS and session.command.words:
        found = {key: one for key, one in found.items() if session.command.words[0].lower() in key}
    _say(installed.listed(found, form))
    return 0


def _freeze(session):
    for line in installed.frozen(session.distributions, session.command.has("--all")):
        _say(line)
    return 0


def frozen_lines():
    """Return the lines of `pip freeze`."""
    return installed.frozen(_Session("pip", _parse(["freeze"], False), []).distributions, False)


def _show(session):
    found = session.distributions
    names = session.command.words
    absent = [name for name in names if installed.normalise(name) not in found]
    if absent:
        _say("WARNING: Package(s) not found: " + ", ".join(sorted(absent)), error=True)
    ones = [found[installed.normalise(name)] for name in names if name not in absent]
    with_files = session.command.has("--files")
    if ones:
        _say("\n---\n".join(installed.shown(found, one, with_files) for one in ones))
    return 0 if ones else 1


def _check(session):
    if session.overlay is None:
        return 0
    code, said = session.overlay.check()
    if code == 0:
        _say("No broken requirements found.")
        return 0
    for line in said.splitlines():
        match = re.match(
            r"The package `([^`]+)` requires `([^`]+)`, but (?:it's not installed|`([^`]+)` is installed)", line
        )
        if match:
            name, needed, there = match.groups()
            _say(
                "%s requires %s, which is not installed." % (name, needed)
                if not there
                else "%s has requirement %s, but you have %s." % (name, needed, there)
            )
    return 1


def _version():
    return "21.3.1" if sys.version_info < (3, 7) else "24.0"


def _tell_version(session):
    if session.program in ("pip", "easy_install", "pip-python"):
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        _say("pip %s from %s (python %d.%d)" % ((_version(), os.path.join(here, "pip")) + sys.version_info[:2]))
    else:
        _say("%s 24.0" % session.program)
    return 0


def _nothing_to_do(_session):
    return 0


def _help(_session):
    _say("Usage: pip <command> [options]\n\nCommands: install, uninstall, list, freeze, show, check")
    return 0


def _other(session):
    """Leave a command to the environment's own pip, if it has one."""
    modules = session.configuration.get("modules") if session.configuration else None
    offline = session.overlay is not None and not session.overlay.internet and "--no-index" not in session.arguments
    if offline and session.command.verb in ("download", "wheel", "index", "search"):
        line = "ERROR: `%s %s` needs the internet, which the run does not have: `%s --internet`"
        _say(line % (session.program, session.command.verb, session.configuration["run"]), error=True)
        return 1
    if modules and session.program == "pip" and os.path.isdir(os.path.join(modules, "pip")):
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.call([session.configuration["python"], "-m", "pip"] + session.arguments, env=variables)
    _say("ERROR: `%s %s` is not to be had in a run of Kanoe" % (session.program, session.command.verb), error=True)
    return 1


def _real_uv(arguments):
    configuration = _configuration()
    if configuration is None:
        return 1
    return subprocess.call([configuration["uv"]] + arguments)


def _apt(program, arguments):
    """Say that packages of the system cannot be installed, unless the programs that they bring are there."""
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] != ["install"]:
        return 0
    brought = (_configuration() or {}).get("apt") or {}
    missing = []
    for package in words[1:]:
        programs = brought.get(package, [package])
        if all(shutil.which(name) for name in programs):
            _say("%s is already the newest version." % package)
        else:
            missing.append(package)
    if not missing:
        return 0
    line = "E: %s: packages of the system cannot be installed in a run; on the machine itself: `apt install %s`"
    _say(line % (program, " ".join(missing)), error=True)
    return 100


_VERBS = {
    "install": _install,
    "uninstall": _uninstall,
    "list": _list,
    "freeze": _freeze,
    "show": _show,
    "check": _check,
    "help": _help,
    "--version": _tell_version,
    "config": _nothing_to_do,
    "cache": _nothing_to_do,
    "clean": _nothing_to_do,
    "init": _nothing_to_do,
    "activate": _nothing_to_do,
    "info": _tell_version,
    "debug": _tell_version,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Which global names a code object and all code nested in it look up, from 3.6's bytecode to 3.14's."""

import dis
import re
import sys

from kanoe_worker.track.mentions import EVERYTHING, HISTORY, LOOKERS, STRING_READERS, Mentions
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_VERSION = sys.version_info[:2]
_CODE = type((lambda: None).__code__)
_OPTIMIZED = 1  # CO_OPTIMIZED: a function, whose names are not looked up in a dictionary
_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING, from 3.13
_EXTENDED = dis.opmap["EXTENDED_ARG"]
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_BINDS = {"STORE_GLOBAL", "STORE_NAME"}
_DELETES = {"DELETE_GLOBAL", "DELETE_NAME"}
_SETATTRS = {"STORE_ATTR", "DELETE_ATTR"}
_IMPORTS = {"IMPORT_NAME", "IMPORT_FROM"}
_SHIFTED = {"LOAD_GLOBAL"} if _VERSION >= (3, 11) else set()
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs) | frozenset(getattr(dis, "hasjump", ()))
_KINDS = {}
for _name in _LOADS | _BINDS | _DELETES | _SETATTRS | _IMPORTS:
    if _name in dis.opmap:
        _KINDS[dis.opmap[_name]] = _name
_FOUND = re.compile(
    b"[" + b"".join(re.escape(bytes([one])) for one in sorted(set(_KINDS) | _JUMPS) if one < 256) + b"]"
)
_NOT_LATER = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>", "__annotate__", "__annotate_func__")
# Called by the interpreter while a class is made from the class that has them.
_HOOKS = frozenset(["__init_subclass__", "__set_name__", "__prepare__", "__mro_entries__", "mro", "__instancecheck__"])
_LOCAL_ONLY = frozenset(["locals", "vars", "dir"])  # in a function these see the function's own names
_MAKES_HOOKS = frozenset(["__new__", "__init__", "__call__"])


def mentions_of_code(code):
    """Return the Mentions of a function's code object with all code nested in it; its own free variables are not global names."""
    mentions = Mentions()
    _read(code, mentions, code.co_name == "<module>")
    return mentions


def parts_of_class(code):
    """Return what a class's body reads at once, and what the functions in it read later, as two Mentions."""
    now = Mentions()
    later = Mentions()
    used = _read_own(code, now, False)
    for inner in nested(code):
        at_once = inner.co_name in _NOT_LATER or inner.co_name in used or not inner.co_flags & _OPTIMIZED
        _read(inner, now if at_once else later, False)
    now.hooks = now.hooks or later.hooks
    return now, later


def nested(code):
    """Return the code objects that stand in another's constants."""
    return [constant for constant in code.co_consts if type(constant) is _CODE]


def _read(code, mentions, module):
    todo = [code]
    while todo:
        code = todo.pop()
        _read_own(code, mentions, module)
        module = False
        todo.extend(nested(code))


def _read_own(code, mentions, module):
    """Note what one code object reads, without the code nested in it; return the names that it loads by name."""
    function = bool(code.co_flags & _OPTIMIZED)
    loaded, bound, deleted, known = _scan(code, function, mentions)
    for name in loaded - known:
        mentions.look_up(name)
    if function or module:
        mentions.binds |= bound
        mentions.deletes |= deleted
    mentions.needs |= deleted
    _read_lookers(code, loaded, function, mentions)
    _read_strings(code, loaded, mentions)
    name = code.co_name
    if name in _HOOKS or (name in _MAKES_HOOKS and (code.co_argcount >= 4 or code.co_flags & 4)):
        mentions.hooks = True
    return loaded


def _scan(code, function, mentions):
    """Return the names that are loaded, bound and deleted, and those that are loaded only after this class body bound them."""
    raw = code.co_code
    names = code.co_names
    loaded, bound, deleted, first = set(), set(), set(), set()
    straight = not function and not getattr(code, "co_exceptiontable", b"")
    module = ""
    for match in _FOUND.finditer(raw[::2]):
        place = match.start()
        kind = _KINDS.get(raw[2 * place])
        if kind is None:
            straight = False
            continue
        name = names[_argument(raw, place, kind)]
        if kind in _LOADS:
            if not (straight and name in bound):
                first.add(name)
            loaded.add(name)
        elif kind in _BINDS:
            bound.add(name)
        elif kind in _DELETES:
            deleted.add(name)
        elif kind in _IMPORTS:
            module = name if kind == "IMPORT_NAME" else module
            mentions.imports.add(name if kind == "IMPORT_NAME" else "%s.%s" % (module, name))
        else:
            mentions.setattrs = True
    if not function:
        deleted -= bound
    return loaded, bound, deleted, loaded - first


def _argument(raw, place, kind):
    argument = raw[2 * place + 1]
    shift = 8
    while place > 0 and raw[2 * place - 2] == _EXTENDED:
        place -= 1
        argument |= raw[2 * place + 1] << shift
        shift += 8
    return argument >> 1 if kind in _SHIFTED else argument


def _read_lookers(code, loaded, function, mentions):
    mentioned = frozenset(code.co_names)
    lookers = LOOKERS & loaded
    if function and lookers & _LOCAL_ONLY and not _aliases(code):
        lookers = lookers - _LOCAL_ONLY
    mentions.lookers |= lookers
    if mentioned & EVERYTHING or ("get_ipython" in loaded and "magic" in mentioned):
        mentions.everything = True
    if mentioned & HISTORY:
        mentions.history = True
    if "inspect" in loaded and mentioned & {"stack", "trace", "getmembers"}:
        mentions.everything = True
    if "unittest" in mentioned and "main" in mentioned:
        mentions.everything = True
    if "sys" in loaded and "modules" in mentioned:
        mentions.everything = True
    if mentioned & {"builtins", "__builtins__"} and mentioned & LOOKERS:
        mentions.everything = True
    if mentioned & {"setattr", "delattr", "__setattr__", "__dict__", "patch", "vars"}:
        mentions.setattrs = True


def _aliases(code):
    """Return whether `locals`, `vars` or `dir` is handed on rather than called."""
    watched = False
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if watched and name not in ("CACHE", "PUSH_NULL", "NOP", "PRECALL", "RESUME"):
            calls = name.startswith("CALL") and not instruction.arg
            if not calls and not name.startswith(("LOAD_", "PRECALL")):
                return True
            watched = False
        if name == "LOAD_GLOBAL" and instruction.argval in _LOCAL_ONLY:
            watched = True
    return False


def _read_strings(code, loaded, mentions):
    annotated = "__annotations__" in code.co_names or code.co_name in ("__annotate__", "__annotate_func__")
    keys = _annotated_names(code) if annotated else ()
    surely = annotated or bool(STRING_READERS.intersection(code.co_names))
    shell = "get_ipython" in loaded
    compares_name = "__name__" in loaded
    for place, constant in enumerate(code.co_consts):
        if type(constant) is tuple or type(constant) is frozenset:
            texts = [text for text in constant if type(text) is str]
        elif type(constant) is str and not (place == 0 and _is_docstring(code)):
            texts = [constant]
        else:
            continue
        for text in texts:
            if (text == "__main__" and compares_name) or text in keys:
                continue
            mentions.read_text(text, surely)
            if shell:
                for name in expanded(text):
                    mentions.look_up(name)


def _annotated_names(code):
    """Return the names that annotations in a class's body belong to: they stand among its constants too."""
    found = set()
    last = None
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_") and last == "__annotations__":
            found.add(instruction.argval)
        last = instruction.argval if instruction.opname != "CACHE" else last
    return found


def _is_docstring(code):
    if not code.co_flags & _OPTIMIZED or code.co_name[:1] == "<":
        return False
    return _VERSION < (3, 13) or bool(code.co_flags & _HAS_DOCSTRING)


_BRACES = re.compile(r"\{([^{}]*)\}")
_DOLLAR = re.compile(r"\$\{?([^\W\d]\w*)")
_WORD = re.compile(r"[^\W\d]\w*")


def expanded(line):
    """Return the identifiers that the shell may look up to fill a line of a magic or of a command: `{x}`, `$x`."""
    found = set(_DOLLAR.findall(line))
    if "{" in line:
        for inner in _BRACES.findall(line):
            found.update(_WORD.findall(inner))
    return found

"""What a piece of code may read and bind among a notebook's names, as a value."""

import keyword
import re

from kanoe_worker.track.plain import __builtins__  # noqa: F401

# Builtin functions that look at all names at once; a name of the notebook's own may hide one.
LOOKERS = frozenset(["globals", "locals", "vars", "dir", "eval", "exec", "execfile", "breakpoint", "help"])
# Attributes that lead to all names: of the shell, of frames, of functions, of the garbage collector.
EVERYTHING = frozenset(
    "user_ns user_global_ns user_module user_ns_hidden ns_table all_ns_refs run_cell run_cell_async run_code run_ast_nodes"
    " run_line_magic run_cell_magic safe_execfile safe_execfile_ipy safe_run_module user_expressions object_inspect ofind _ofind"
    " init_user_ns prepare_user_module drop_by_id del_var var_expand"
    " f_globals f_locals __globals__ func_globals tb_frame gi_frame cr_frame ag_frame _getframe currentframe getouterframes"
    " getinnerframes _current_frames get_objects get_referrers get_referents testmod testfile run_docstring_examples"
    " dump_session load_session dump_module load_module execfile runpy run_path set_trace post_mortem"
    " loadTestsFromModule TestProgram ipytest __main__".split()
)
# Functions of libraries that look up the names that stand in a string.
STRING_READERS = frozenset(
    "query eval evaluate re_evaluate sql execute sqldf from_query from_formula from_query_string dmatrix dmatrices ols gls wls glm"
    " logit probit mixedlm gee rlm quantreg poisson phreg anova_lm model_matrix get_type_hints validate getArguments".split()
)
# Attributes that lead to the text of the cells that ran before, and to the last error that one of them raised.
HISTORY = frozenset(
    "history_manager HistoryManager HistoryAccessor input_hist_raw input_hist_parsed extract_input_lines find_user_code"
    " last_type last_value last_traceback last_exc print_last".split()
)
_INPUTS = frozenset(["In", "_ih", "_i", "_ii", "_iii"])
FILE = "<kanoe>"  # the name under which code is compiled that does not run
_WORD = re.compile(r"[^\W\d]\w*")
_AT = re.compile(r"@\s*([^\W\d]\w*)")
_SQL = re.compile(r"\b(select|from|insert|update|join|describe|summarize|pivot)\b", re.IGNORECASE)
_RESULT = re.compile(r"_(i?)(\d+)$")
_RESULTS = frozenset(["_", "__", "___", "Out", "_oh"])
_TEXT_LIMIT = 1 << 20
_SETS = ("needs", "binds", "deletes", "lookers", "strings", "words", "imports")
_FLAGS = ("everything", "history", "setattrs", "hooks")


class Mentions(object):
    """What a piece of code may read and bind among the notebook's names.

    needs       global names looked up before this same code surely bound them
    binds       global names it may bind; `*`: others too, that cannot be known
    deletes     global names it may delete
    everything  whether it may look at all names at once: `sys._getframe`, `get_ipython().user_ns`
    history     whether it may look at the text of cells that ran before, or at their last error: `In`, `_i`, `%history`, `%tb`
    lookers     builtins it uses that look at all names, unless the notebook has names of its own like these: `globals`, `dir`
    strings     identifiers in string constants that a library may look up: `query('a < @x')`
    words       identifiers in all other string constants
    imports     modules that it imports, by their full names
    results     numbers of the outputs it reads as `_3` or `Out[3]`; None: any
    setattrs    whether it may store attributes
    hooks       whether a class of it runs code of its own when a class is made from it
    surely      names that are bound or deleted once it has run to its end; known of cells only
    later       name -> Later: functions and classes that a cell defines; what they need counts once the name is used
    otherwise   name -> Mentions: what it does more if there is no such name: a line may then be a magic without its sign
    """

    __slots__ = _SETS + _FLAGS + ("later", "otherwise", "results", "surely")

    def __init__(self):
        for name in _SETS:
            setattr(self, name, set())
        for name in _FLAGS:
            setattr(self, name, False)
        self.results = set()
        self.surely = frozenset()
        self.later = {}
        self.otherwise = {}

    def add(self, other, needs=True):
        """Take in all that `other` mentions, but for what it needs later; without `needs` also but for what it needs at once."""
        for name in _SETS if needs else _SETS[1:]:
            getattr(self, name).update(getattr(other, name))
        for name in _FLAGS:
            setattr(self, name, getattr(self, name) or getattr(other, name))
        self.add_results(other.results)
        self.otherwise.update(other.otherwise)

    def add_results(self, numbers):
        """Note that these outputs are read; None: any."""
        if numbers is None or self.results is None:
            self.results = None
        else:
            self.results.update(numbers)

    def look_up(self, name):
        """Note that a global name is looked up."""
        self.needs.add(name)
        if name in _RESULTS:
            self.results = None
        elif name[0] == "_":
            number = _RESULT.match(name)
            if number is not None and number.group(1):
                self.history = True
            elif number is not None:
                self.add_results([int(number.group(2))])
        if name in _INPUTS or name in HISTORY:
            self.history = True
        if name in EVERYTHING:
            self.everything = True

    def read_text(self, text, surely=False):
        """Note the identifiers of a string constant; surely: it is given to what looks names up."""
        if len(text) > _TEXT_LIMIT or len(text) == 0:
            return
        if "__main__" in text:
            self.everything = True
        if surely or "~" in text or (" " in text and _SQL.search(text) is not None):
            self.strings.update(word for word in _WORD.findall(text) if not keyword.iskeyword(word))
            return
        if "@" in text:
            self.strings.update(_AT.findall(text))
        self.words.update(word for word in _WORD.findall(text) if not keyword.iskeyword(word))

    def as_dict(self):
        """Return the JSON form: what is empty is not there."""
        record = {name: sorted(getattr(self, name)) for name in _SETS if getattr(self, name)}
        record.update((name, True) for name in _FLAGS if getattr(self, name))
        if self.results is None or self.results:
            record["results"] = None if self.results is None else sorted(self.results)
        if self.later:
            record["later"] = {name: [one.as_dict() for one in found] for name, found in self.later.items()}
        if self.otherwise:
            record["otherwise"] = {name: one.as_dict() for name, one in self.otherwise.items()}
        return record

    @classmethod
    def from_dict(cls, record):
        """Rebuild from the JSON form."""
        self = cls()
        for name in _SETS:
            getattr(self, name).update(record.get(name, ()))
        for name in _FLAGS:
            setattr(self, name, bool(record.get(name, False)))
        results = record.get("results", ())
        self.results = None if results is None else set(results)
        self.later = {name: [Later.from_dict(one) for one in found] for name, found in record.get("later", {}).items()}
        self.otherwise = {name: cls.from_dict(one) for name, one in record.get("otherwise", {}).items()}
        return self


class Later(object):
    """A function or class that a cell defines.

    mentions    what its code may read when it runs
    triggers    names whose use may run it: its own, and those of its bases
    decorators  names that may run it at once, if they are the notebook's own
    bases       names that may run it at once, if they are the notebook's own classes and have hooks
    """

    __slots__ = ("bases", "decorators", "mentions", "triggers")

    def __init__(self, mentions, triggers=(), decorators=(), bases=()):
        self.mentions = mentions
        self.triggers = frozenset(triggers)
        self.decorators = frozenset(decorators)
        self.bases = frozenset(bases)

    def as_dict(self):
        """Return the JSON form."""
        return {
            "mentions": self.mentions.as_dict(),
            "triggers": sorted(self.triggers),
            "decorators": sorted(self.decorators),
            "bases": sorted(self.bases),
        }

    @classmethod
    def from_dict(cls, record):
        """Rebuild from the JSON form."""
        mentions = Mentions.from_dict(record["mentions"])
        return cls(mentions, record["triggers"], record["decorators"], record["bases"])


class Closure(object):
    """All that a cell may read: names, definitions, numbers of results (None: any); everything: any; history: texts of cells;
    imports: modules that its code imports; binds, deletes: names that it, or what it calls, may bind and delete."""

    __slots__ = ("binds", "definitions", "deletes", "everything", "history", "imports", "names", "results")

    def __init__(self, names, definitions, everything, results, history=False, imports=(), binds=(), deletes=()):
        self.names = names
        self.definitions = definitions
        self.everything = everything
        self.results = results
        self.history = history
        self.imports = frozenset(imports)
        self.binds = frozenset(binds)
        self.deletes = frozenset(deletes)

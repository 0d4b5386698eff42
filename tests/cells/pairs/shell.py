"""IPython's own: magics, display, history, settings of the shell, look-ups that other languages make in the namespace."""

TEXT = r'''
=== time-cell-magic
# %%-
n = 2
# %%+
n = 3
# %%!
%%time
m = n * 2
# %%!
print(m)

=== capture-cell-magic
# %%-
word = "one"
# %%+
word = "two"
# %%!
%%capture caught
print(word)
# %%!
print(caught.stdout)

=== timeit-reads
# %%
def work(): return n
# %%-
n = 2
# %%+
n = 3
# %%!
result = %timeit -n1 -r1 -o -q work()
print(n)

=== shell-variable
# %%-
name = "one"
# %%+
name = "two"
# %%!
!echo {name} $name

=== shell-assignment
# %%-
lines = !echo one
# %%+
lines = !echo two
# %%!
print(lines[0])

=== run-magic-with-the-namespace
# %%
open("job.py", "w").write("print('saw', n); made = n + 1");
# %%-
n = 1
# %%+
n = 5
# %%!
%run -i job.py
# %%!
print(made)

=== all-expressions-shown
# %%
from IPython.core.interactiveshell import InteractiveShell
# %%-
InteractiveShell.ast_node_interactivity = "all"
# %%+
InteractiveShell.ast_node_interactivity = "last_expr"
# %%!
1
2

=== precision-magic
# %%
x = 1 / 3
# %%-
%precision 2
# %%+
%precision 4
# %%!
x

=== formatter-registered
# %%
formatter = get_ipython().display_formatter.formatters["text/plain"]
# %%-
formatter.for_type(int, lambda value, printer, cycle: printer.text("one"));
# %%+
formatter.for_type(int, lambda value, printer, cycle: printer.text("two"));
# %%!
5

=== own-magic
# %%
from IPython.core.magic import register_line_magic
# %%-
@register_line_magic
def shout(line):
    print(line.upper())
# %%+
@register_line_magic
def shout(line):
    print(line.upper() + "!")
# %%!
%shout hello

=== hook-after-every-cell
# %%
count = []
# %%-
hook = lambda *args: count.append("a")
get_ipython().events.register("post_run_cell", hook)
# %%+
hook = lambda *args: count.append("b")
get_ipython().events.register("post_run_cell", hook)
# %%!
x = 1
# %%!
print(count[-1])

=== input-transformer
# %%
def change(lines):
    return [line.replace("MARK", "42") for line in lines]
# %%-
pass
# %%+
get_ipython().input_transformers_cleanup.append(change)
# %%!
try:
    print(MARK)
except NameError:
    print("no mark")

=== display-updated-from-another-cell
# %%
from IPython.display import display
handle = display("first", display_id="pair")
# %%-
handle.update("second")
# %%+
handle.update("third")
# %%
print("end")

=== display-updated-only-sometimes
# %%
from IPython.display import display, update_display
display("shown", display_id="pair-b");
# %%-
update_display("again", display_id="pair-b")
# %%+
pass
# %%
print("end")

=== display-changed-above-its-update
# %%-
from IPython.display import display
handle = display("one", display_id="pair-c")
# %%+
from IPython.display import display
handle = display("uno", display_id="pair-c")
# %%~
handle.update("final")
# %%
print("x")

=== rich-repr-of-a-class
# %%-
class Rich:
    def _repr_html_(self): return "<b>one</b>"
# %%+
class Rich:
    def _repr_html_(self): return "<b>two</b>"
# %%!
Rich()

=== history-shifts
# %%
"zero"
# %%+
"inserted"
# %%~
"second"
# %%!
print(Out[2])

=== last-result-after-an-insertion
# %%
10
# %%+
20
# %%!
print(_ + 1)

=== results-kept-by-name
# %%
"a"
# %%-
"b"
# %%+
"c"
# %%!
print(_2)
# %%
print(_1)

=== underscore-follows-the-last-result
# %%
11
# %%-
x = 1
# %%+
x = 2
# %%
print(_)

=== who-lists
# %%-
alpha = 1
# %%+
beta = 1
# %%!
%who_ls int

=== reset-selective
# %%
keep_a, drop_b = 1, 2
# %%-
%reset_selective -f drop_b
# %%+
%reset_selective -f keep_a
# %%!
print("keep_a" in globals(), "drop_b" in globals())

=== store-of-macros
# %%-
text = "x = 1"
# %%+
text = "x = 2"
# %%!
get_ipython().run_cell(text);
# %%!
print(x)

=== extension-loaded
# %%
with open("pair_extension.py", "w") as out:
    out.write("def load_ipython_extension(shell):\n    shell.push({'loaded': 'yes'})\n")
# %%-
pass
# %%+
%load_ext pair_extension
# %%!
print(globals().get("loaded"))

=== autoreload
# %%
import sys
sys.dont_write_bytecode = True
open("pair_auto.py", "w").write("VALUE = 1\n")
import pair_auto
# %%-
%load_ext autoreload
%autoreload 2
# %%+
pass
# %%!
open("pair_auto.py", "w").write("VALUE = 22222\n");
# %%!
print(pair_auto.VALUE)

=== query-with-a-name
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3]})
# %%-
limit = 1
# %%+
limit = 2
# %%!
print(len(frame.query("a > @limit")))

=== query-in-a-function
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3]})
def larger():
    return len(frame.query("a > @limit"))
# %%-
limit = 1
# %%+
limit = 2
# %%!
print(larger())

=== query-with-a-text-that-is-built
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3]})
name = "li" + "mit"
# %%-
limit = 1
# %%+
limit = 2
# %%!
print(len(frame.query("a > @" + name)))

=== frame-eval
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3]})
# %%-
scale = 2
# %%+
scale = 3
# %%!
print(frame.eval("a * @scale").tolist())

=== inspect-looks-at-the-caller
# %%
import inspect
def caller_value(name):
    return inspect.currentframe().f_back.f_globals[name]
# %%-
hidden_value = 1
# %%+
hidden_value = 2
# %%!
print(caller_value("hidden_" + "value"))

=== doctest-reads-names
# %%-
CONST = 3
# %%+
CONST = 4
# %%
def check():
    """
    >>> CONST
    3
    """
# %%!
import doctest
print(doctest.testmod().failed)

=== type-hints-resolved
# %%
def work(x: "Target") -> None: ...
# %%-
class Target: label = "a"
# %%+
class Target: label = "b"
# %%!
import typing
print(typing.get_type_hints(work)["x"].label)

=== string-formatted-with-names
# %%-
who = "one"
# %%+
who = "two"
# %%!
print(f"{who}")
# %%!
print("{who}".format_map(vars()))

=== template-by-eval-fstring
# %%
template = "f'{who}'"
# %%-
who = "one"
# %%+
who = "two"
# %%!
print(eval(template))

=== help-of-a-name
# %%-
def tool():
    "First."
# %%+
def tool():
    "Second."
# %%!
tool?
print(tool.__doc__)

=== widget-value
# %%
class Slider:
    value = 3
slider = Slider()
watchers = []
# %%-
watchers.append(lambda: slider.value + 1)
# %%+
watchers.append(lambda: slider.value + 2)
# %%!
print(watchers[0]())

=== clear-output
# %%
from IPython.display import clear_output
# %%-
print("gone"); clear_output(); print("one")
# %%+
print("gone"); clear_output(); print("two")
# %%
print("end")

=== prun-and-debug-settings
# %%-
def slow(): return 1
# %%+
def slow(): return 2
# %%!
%prun -q slow()
# %%!
print(slow())

=== name-in-a-magic-line
# %%-
folder = "one"
# %%+
folder = "two"
# %%!
%mkdir -p $folder
# %%!
import os
print(os.path.isdir("two"))

=== xmode
# %%-
%xmode Plain
# %%+
%xmode Minimal
# %%! tags=["raises-exception"]
1 / 0

=== custom-exception-handler
# %%
def handler(shell, kind, value, trace, tb_offset=None):
    print("caught", value)
# %%-
get_ipython().set_custom_exc((ZeroDivisionError,), handler)
# %%+
get_ipython().set_custom_exc((KeyError,), handler)
# %%! tags=["raises-exception"]
1 / 0

=== set-next-input
# %%-
get_ipython().set_next_input("x = 1")
# %%+
get_ipython().set_next_input("x = 2")
# %%
print("quiet")

=== async-cell
# %%
import asyncio
# %%-
async def give(): return 1
# %%+
async def give(): return 2
# %%!
value = await give()
# %%!
print(value)

=== async-generator-kept
# %%~
async def numbers():
    for n in range(5):
        yield n
source = numbers()
# %%-
first = await source.__anext__()
# %%+
first = [await source.__anext__(), await source.__anext__()]
# %%!
print(await source.__anext__())

=== a-library-asks-at-its-import-whether-this-is-jupyter
# %%
import pandas as pd
frame = pd.DataFrame([range(30)], columns=[f"column {n}" for n in range(30)])
# %%-
n = 1
# %%+
n = 2
# %%!
print(frame * n)
'''

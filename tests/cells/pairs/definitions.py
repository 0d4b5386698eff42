"""Functions and classes of the notebook: their code, defaults, closures, attributes, and whoever holds them."""

TEXT = r"""
=== helper-of-a-helper
# %%-
def inner(x):
    return x + 1
# %%+
def inner(x):
    return x + 2
# %%
def outer(x):
    return inner(x) * 10
# %%!
print(outer(1))
# %%
print("no call")

=== constant-read-by-a-function
# %%-
RATE = 0.1
# %%+
RATE = 0.5
# %%
def fee(amount):
    return amount * RATE
# %%!
print(fee(100))

=== function-defined-later-than-its-helper-is-used
# %%
def outer():
    return helper()
# %%-
def helper():
    return "old"
# %%+
def helper():
    return "new"
# %%!
print(outer())

=== default-argument-is-a-cache
# %%
def remember(value, seen=[]):
    seen.append(value)
    return list(seen)
# %%-
remember(1)
# %%+
remember(5)
# %%!
print(remember(2))

=== default-argument-made-from-a-name
# %%-
base = 3
# %%+
base = 4
# %%!
def power(x, exponent=base):
    return x ** exponent
# %%!
print(power(2))

=== closure-with-a-counter
# %%
def make():
    count = 0
    def step():
        nonlocal count
        count += 1
        return count
    return step
step = make()
# %%-
step()
# %%+
step(); step()
# %%!
print(step())

=== closures-that-share-a-cell
# %%
def make():
    total = []
    def add(x):
        total.append(x)
    def read():
        return sum(total)
    return add, read
add, read = make()
# %%-
add(1)
# %%+
add(10)
# %%!
print(read())

=== lambda-in-a-dictionary
# %%-
actions = {"double": lambda x: 2 * x}
# %%+
actions = {"double": lambda x: 3 * x}
# %%
def apply(name, x):
    return actions[name](x)
# %%!
print(apply("double", 4))

=== late-binding-loop
# %%
functions = [lambda: i for i in range(1)]
i = 3
callbacks = []
for i in range(3):
    callbacks.append(lambda: i)
# %%-
i = 10
# %%+
i = 20
# %%!
print([call() for call in callbacks])
# %%
print(functions[0]())

=== decorator-with-a-registry
# %%
registry = {}
def register(function):
    registry[function.__name__] = function
    return function
# %%-
@register
def clean(x):
    return x.strip()
# %%+
@register
def clean(x):
    return x.strip().upper()
# %%
words = [" a ", " b"]
# %%!
print([registry["clean"](word) for word in words])

=== decorator-changed
# %%-
def twice(function):
    def wrapped(x):
        return function(function(x))
    return wrapped
# %%+
def twice(function):
    def wrapped(x):
        return function(function(function(x)))
    return wrapped
# %%!
@twice
def add_one(x):
    return x + 1
# %%!
print(add_one(0))

=== wraps-keeps-the-name
# %%
import functools
calls = []
def logged(function):
    @functools.wraps(function)
    def wrapped(*args):
        calls.append(function.__name__)
        return function(*args)
    return wrapped
@logged
def work(x):
    return x
# %%-
work(1)
# %%+
work(1); work(2)
# %%!
print(calls, work.__name__, work.__wrapped__(3))

=== function-attribute
# %%
def predict(x):
    return x * predict.scale
predict.scale = 1
# %%-
predict.scale = 2
# %%+
predict.scale = 3
# %%!
print(predict(10))

=== function-redefined
# %%
def score(x):
    return x
kept = score
# %%-
def score(x):
    return -x
# %%+
def score(x):
    return -2 * x
# %%!
print(score(1))
# %%
print(kept(1))

=== recursion
# %%
LIMIT = 2
def down(n):
    return [n] + (down(n - 1) if n > LIMIT else [])
# %%-
LIMIT = 1
# %%+
LIMIT = 0
# %%!
print(down(3))

=== lru-cache-hides-a-change
# %%
import functools
factor = 1
@functools.lru_cache(maxsize=None)
def scaled(x):
    return x * factor
# %%-
first = scaled(2)
# %%+
first = scaled(3)
# %%
factor = 10
# %%!
print(scaled(2))
# %%!
print(scaled(3))

=== hand-made-cache
# %%
cache = {}
def load(key):
    if key not in cache:
        cache[key] = f"loaded {key}"
    return cache[key]
# %%-
load("a")
# %%+
load("b")
# %%!
print(sorted(cache))

=== global-statement
# %%
total = 0
def add(x):
    global total
    total += x
# %%-
add(1)
# %%+
add(2)
# %%!
print(total)

=== global-made-by-a-function
# %%
def set_up(value):
    global MODE
    MODE = value
# %%-
set_up("a")
# %%+
set_up("b")
# %%!
print(MODE)

=== method-changed
# %%-
class Model:
    def fit(self, x):
        self.mean = sum(x) / len(x)
        return self
# %%+
class Model:
    def fit(self, x):
        self.mean = max(x)
        return self
# %%
data = [1, 2, 6]
# %%!
model = Model().fit(data)
# %%!
print(model.mean)

=== method-not-called-is-no-answer-but-a-read
# %%
data = [1, 2, 3]
# %%-
class Model:
    rate = 1
    def show(self):
        return f"Model {self.rate}"
# %%+
class Model:
    rate = 2
    def show(self):
        return f"Model {self.rate}"
# %%!
model = Model()
# %%!
print(model.show())
# %%
print(data)

=== class-attribute-set-later
# %%
class Config:
    rate = 1
config = Config()
# %%-
Config.rate = 5
# %%+
Config.rate = 6
# %%!
print(config.rate)

=== class-attribute-is-a-list
# %%
class Store:
    rows = []
    def add(self, x):
        self.rows.append(x)
left, right = Store(), Store()
# %%-
left.add(1)
# %%+
left.add(2)
# %%!
print(right.rows)

=== class-counts-its-instances
# %%
class Node:
    count = 0
    def __init__(self):
        Node.count += 1
        self.number = Node.count
# %%-
first = Node()
# %%+
first = Node(); spare = Node()
# %%!
second = Node()
# %%!
print(second.number)

=== base-class-changed
# %%-
class Base:
    def name(self):
        return "base"
# %%+
class Base:
    def name(self):
        return "ground"
# %%!
class Child(Base):
    def name(self):
        return "child of " + super().name()
# %%!
print(Child().name())

=== method-patched-in
# %%
class Cleaner:
    def run(self, x):
        return x
cleaner = Cleaner()
# %%-
Cleaner.run = lambda self, x: x.lower()
# %%+
Cleaner.run = lambda self, x: x.upper()
# %%!
print(cleaner.run("Abc"))

=== old-instances-keep-their-class
# %%
class Point:
    def show(self):
        return "old"
point = Point()
# %%-
class Point:
    def show(self):
        return "new"
# %%+
class Point:
    def show(self):
        return "newer"
# %%
print(point.show())
# %%!
print(Point().show(), isinstance(point, Point))

=== instance-attribute
# %%
class Box:
    pass
box = Box()
# %%-
box.size = 1
# %%+
box.size = 2
# %%!
print(vars(box))

=== dataclass-instance
# %%
from dataclasses import dataclass, field
@dataclass
class Config:
    depth: int = 3
    names: list = field(default_factory=list)
config = Config()
# %%-
config.depth = 4
# %%+
config.names.append("x")
# %%!
print(config)

=== dataclass-default
# %%-
DEPTH = 3
# %%+
DEPTH = 5
# %%!
from dataclasses import dataclass, replace
@dataclass(frozen=True)
class Config:
    depth: int = DEPTH
# %%!
print(replace(Config()))

=== namedtuple-and-enum
# %%
from collections import namedtuple
from enum import Enum
Row = namedtuple("Row", "a b")
class Color(Enum):
    RED = 1
    BLUE = 2
# %%-
row = Row(1, Color.RED)
# %%+
row = Row(1, Color.BLUE)
# %%!
print(row, row.b is Color.BLUE)
# %%
print(list(Color))

=== enum-member-identity
# %%
from enum import Enum
class Color(Enum):
    RED = 1
favourite = Color.RED
# %%-
note = 1
# %%+
note = 2
# %%!
print(favourite is Color.RED, Color(1) is favourite, note)

=== property-and-slots
# %%
class Circle:
    __slots__ = ("radius",)
    def __init__(self, radius):
        self.radius = radius
    @property
    def area(self):
        return 3 * self.radius ** 2
circle = Circle(1)
# %%-
circle.radius = 2
# %%+
circle.radius = 3
# %%!
print(circle.area)

=== class-made-by-type
# %%-
Dynamic = type("Dynamic", (), {"value": 1})
# %%+
Dynamic = type("Dynamic", (), {"value": 2})
# %%!
print(Dynamic().value)

=== metaclass-registry
# %%
class Registry(type):
    known = {}
    def __new__(mcs, name, bases, body):
        made = super().__new__(mcs, name, bases, body)
        mcs.known[name] = made
        return made
# %%-
class One(metaclass=Registry):
    x = 1
# %%+
class Other(metaclass=Registry):
    x = 1
# %%!
print(sorted(Registry.known))

=== init-subclass-registry
# %%
class Plugin:
    plugins = []
    def __init_subclass__(cls, **options):
        Plugin.plugins.append(cls.__name__)
# %%-
class A(Plugin): pass
# %%+
class B(Plugin): pass
# %%!
print(Plugin.plugins)

=== abstract-base-registers
# %%
from abc import ABC, abstractmethod
class Shape(ABC):
    @abstractmethod
    def area(self): ...
class Square(Shape):
    def area(self): return 4
class Stray: pass
# %%-
nothing = None
# %%+
Shape.register(Stray)
# %%!
print(isinstance(Stray(), Shape))
# %%~
print(isinstance(Square(), Shape), Square().area())

=== operator-of-a-class
# %%-
class Money:
    def __init__(self, n): self.n = n
    def __add__(self, other): return Money(self.n + other.n)
    def __repr__(self): return f"{self.n} EUR"
# %%+
class Money:
    def __init__(self, n): self.n = n
    def __add__(self, other): return Money(self.n + other.n)
    def __repr__(self): return f"{self.n} USD"
# %%!
purse = [Money(1), Money(2)]
# %%!
sum(purse, Money(0))

=== generic-function-registers
# %%
from functools import singledispatch
@singledispatch
def show(x):
    return "something"
# %%-
@show.register(int)
def _show_int(x):
    return "a number"
# %%+
@show.register(int)
def _show_int(x):
    return "an integer"
# %%!
print(show(1))

=== callable-instance-with-state
# %%
class Counter:
    def __init__(self):
        self.n = 0
    def __call__(self):
        self.n += 1
        return self.n
tick = Counter()
# %%-
tick()
# %%+
tick(); tick()
# %%!
print(tick())

=== key-function-for-sorted
# %%-
def key(word):
    return len(word)
# %%+
def key(word):
    return word[-1]
# %%
words = ["cab", "a", "bc"]
# %%!
print(sorted(words, key=key))

=== function-in-a-frame-apply
# %%
import pandas as pd
frame = pd.DataFrame({"name": ["Mr. A", "Mrs. B"]})
# %%-
def title(name):
    return name.split(".")[0]
# %%+
def title(name):
    return name.split(".")[0].upper()
# %%!
frame["title"] = frame.name.apply(title)
# %%!
print(frame.title.tolist())

=== string-of-the-source
# %%-
def shown(x):
    return x
# %%+
def shown(x):
    # a remark
    return x
# %%!
import inspect
print(inspect.getsource(shown))

=== annotation-is-evaluated-later
# %%-
class Inner:
    tag = "a"
# %%+
class Inner:
    tag = "b"
# %%
class Outer:
    inner: "Inner" = None
# %%!
import typing
print(typing.get_type_hints(Outer)["inner"].tag)

=== comment-only-edit
# %%-
def area(r):
    return 3 * r * r
# %%+
def area(r):
    # an approximation
    return 3 * r * r
# %%~
value = area(2)
# %%
print(value)

=== docstring-edit-of-an-unused-helper
# %%-
def helper():
    "Old."
# %%+
def helper():
    "New."
# %%
print("independent")
# %%!
help(helper)

=== exec-defines-a-function
# %%-
exec("def made(x):\n    return x + 1")
# %%+
exec("def made(x):\n    return x + 5")
# %%!
print(made(1))

=== instance-with-reduce
# %%
class Odd:
    def __init__(self, n):
        self.n = n
    def __reduce__(self):
        return (Odd, (self.n,))
odd = Odd(1)
# %%-
odd.n = 3
# %%+
odd.n = 5
# %%!
print(odd.n)

=== instance-that-cannot-be-pickled
# %%
class Closed:
    def __init__(self):
        self.items = []
    def __reduce_ex__(self, protocol):
        raise TypeError("never")
closed = Closed()
# %%-
closed.items.append(1)
# %%+
closed.items.append(2)
# %%!
print(closed.items)

=== getstate-that-forgets
# %%
class Forgetful:
    def __init__(self):
        self.kept = 1
        self.cache = "full"
    def __getstate__(self):
        return {"kept": self.kept}
thing = Forgetful()
# %%-
note = 1
# %%+
note = 2
# %%!
print(note, getattr(thing, "cache", "lost"))

=== equality-that-lies
# %%
class Same:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return True
    def __hash__(self): return 1
thing = Same(0)
# %%-
thing = Same(1)
# %%+
thing = Same(2)
# %%!
print(thing.n)
"""

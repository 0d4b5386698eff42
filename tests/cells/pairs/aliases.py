"""Two names, one object: what one cell changes through a list, a view, a closure, another cell reads by its own name."""

TEXT = r"""
=== combine-list
# %%
train = {"age": [1, 2]}
test = {"age": [3]}
# %%
combine = [train, test]
# %%-
for data in combine:
    data["age"] = [value + 1 for value in data["age"]]
# %%+
for data in combine:
    data["age"] = [value + 10 for value in data["age"]]
# %%
sizes = "unrelated"
print(sizes)
# %%!
print(train)
# %%!
print(test)

=== combine-frames
# %%
import pandas as pd
train = pd.DataFrame({"age": [1.0, None], "sex": ["m", "f"]})
test = pd.DataFrame({"age": [None, 4.0], "sex": ["f", "f"]})
combine = [train, test]
# %%-
for data in combine:
    data["age"] = data["age"].fillna(0)
# %%+
for data in combine:
    data["age"] = data["age"].fillna(9)
# %%!
for data in combine:
    data["sex"] = data["sex"].map({"m": 0, "f": 1})
# %%!
print(train)
# %%!
print(test.age.sum())
# %%
print("done")

=== combine-then-rebind
# %%
import pandas as pd
train = pd.DataFrame({"x": [1, 2]})
test = pd.DataFrame({"x": [3]})
combine = [train, test]
# %%
train = train.assign(y=0)
# %%-
for data in combine:
    data["z"] = 1
# %%+
for data in combine:
    data["z"] = 2
# %%
print(list(train.columns))
# %%!
print(test)
# %%!
print(combine[0])

=== second-name
# %%
first = [1, 2]
# %%
second = first
# %%-
second.append(3)
# %%+
second.append(4)
# %%!
print(first)

=== plus-equals-on-an-alias
# %%
first = [1]
second = first
# %%-
second += [2]
# %%+
second = second + [2]
# %%!
print(first)
# %%
print(second)

=== nested-dictionary
# %%
settings = {"model": {"depth": 3}}
# %%
model = settings["model"]
# %%-
model["depth"] = 4
# %%+
model["depth"] = 5
# %%!
print(settings)

=== item-of-a-tuple
# %%
pair = ([], [])
left = pair[0]
# %%-
left.append(1)
# %%+
left.append(2)
# %%!
print(pair)

=== bound-method-kept
# %%
rows = []
# %%
add = rows.append
# %%-
add(1)
# %%+
add(5)
# %%!
print(rows)

=== partial-kept
# %%
import functools
rows = []
add = functools.partial(list.append, rows)
# %%-
add("a")
# %%+
add("b")
# %%!
print(rows)

=== dictionary-view-kept
# %%
table = {"a": 1}
# %%~
keys = table.keys()
# %%-
table["b"] = 2
# %%+
table["c"] = 2
# %%!
print(sorted(keys))

=== copy-is-no-alias
# %%
first = [1, 2]
# %%
second = list(first)
# %%-
second.append(3)
# %%+
second.append(4)
# %%
print(first)
# %%!
print(second)

=== shallow-copy-shares
# %%
import copy
first = [[1], [2]]
second = copy.copy(first)
# %%-
second[0].append(3)
# %%+
second[0].append(4)
# %%!
print(first)

=== deep-copy-does-not
# %%
import copy
first = [[1], [2]]
second = copy.deepcopy(first)
# %%-
second[0].append(3)
# %%+
second[0].append(4)
# %%
print(first)

=== array-slice
# %%
import numpy as np
whole = np.arange(6)
# %%
part = whole[2:4]
# %%-
part[:] = 0
# %%+
part[:] = 7
# %%!
print(whole)

=== array-reshaped
# %%
import numpy as np
flat = np.zeros(4)
# %%
square = flat.reshape(2, 2)
# %%-
square[0, 1] = 1
# %%+
square[1, 0] = 1
# %%!
print(flat)

=== array-transposed-and-raveled
# %%
import numpy as np
matrix = np.arange(4).reshape(2, 2)
turned = matrix.T
line = matrix.ravel()
# %%-
turned[0, 1] = 9
# %%+
turned[1, 0] = 9
# %%!
print(line)
# %%!
print(matrix)

=== array-of-an-array-by-frombuffer
# %%
import numpy as np
memory = bytearray(8)
# %%
numbers = np.frombuffer(memory, dtype=np.uint8)
# %%-
memory[0] = 1
# %%+
memory[0] = 2
# %%!
print(numbers)

=== array-strided
# %%
import numpy as np
base = np.arange(5.0)
# %%
windows = np.lib.stride_tricks.sliding_window_view(base, 2, writeable=True)
# %%-
base[2] = -1
# %%+
base[2] = -5
# %%!
print(windows.sum())

=== fancy-index-is-a-copy
# %%
import numpy as np
whole = np.arange(6)
# %%
chosen = whole[[0, 1]]
# %%-
chosen[0] = 5
# %%+
chosen[0] = 6
# %%
print(whole)
# %%!
print(chosen)

=== memoryview-kept
# %%
memory = bytearray(b"abc")
# %%~
window = memoryview(memory)
# %%-
window[0] = 65
# %%+
window[0] = 66
# %%!
print(memory)

=== column-is-written-by-values
# %%
import numpy as np, pandas as pd
numbers = np.array([1.0, 2.0])
frame = pd.DataFrame({"a": numbers}, copy=False)
# %%-
frame.loc[0, "a"] = 5
# %%+
frame.loc[0, "a"] = 6
# %%~
print(numbers.shape)
# %%!
print(frame)

=== inplace-true
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1.0, None], "b": [1, 2]})
# %%-
frame.fillna(0, inplace=True)
# %%+
frame.fillna(5, inplace=True)
# %%!
frame.rename(columns={"a": "c"}, inplace=True)
# %%!
print(frame)

=== drop-inplace
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5, 6]})
other = pd.DataFrame({"q": [1]})
# %%-
frame.drop("b", axis=1, inplace=True)
# %%+
frame.drop("c", axis=1, inplace=True)
# %%
print(other)
# %%!
print(frame.columns.tolist())

=== frame-derived-before-the-change
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2, 3]})
# %%
small = frame[frame.a > 1]
# %%-
frame["b"] = 1
# %%+
frame["b"] = 2
# %%
print(small)
# %%!
print(frame)

=== groupby-kept
# %%
import pandas as pd
frame = pd.DataFrame({"k": [1, 1, 2], "v": [1, 2, 3]})
# %%
groups = frame.groupby("k")
# %%-
frame["w"] = frame.v * 2
# %%+
frame["w"] = frame.v * 3
# %%~
print(groups.v.sum().tolist())
# %%!
print(frame.w.tolist())

=== attribute-of-the-frame
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1]})
# %%-
frame.attrs["unit"] = "cm"
# %%+
frame.attrs["unit"] = "mm"
# %%!
print(frame.attrs)

=== index-name-set
# %%
import pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
index = frame.index
# %%-
index.name = "row"
# %%+
index.name = "line"
# %%!
print(frame.reset_index())

=== deque-of-the-last
# %%
from collections import deque
last = deque(maxlen=2)
queues = {"last": last}
# %%-
queues["last"].extend([1, 2, 3])
# %%+
queues["last"].extend([1, 2, 4])
# %%!
print(last)

=== default-dictionary-grows-when-read
# %%
from collections import defaultdict
table = defaultdict(list)
# %%-
table["a"]
# %%+
table["b"]
# %%!
print(dict(table))

=== default-dictionary-of-a-lambda
# %%
from collections import defaultdict
start = [0]
table = defaultdict(lambda: list(start))
# %%-
start.append(1)
# %%+
start.append(2)
# %%!
print(table["x"])

=== heap
# %%
import heapq
heap = [5, 3, 8]
heapq.heapify(heap)
# %%-
heapq.heappush(heap, 1)
# %%+
heapq.heappush(heap, 2)
# %%!
print(heapq.heappop(heap))
# %%
print(heap)

=== sort-in-place-equal-result
# %%
numbers = [3, 1, 2]
# %%-
numbers.sort()
# %%+
numbers.sort(key=lambda n: n)
# %%
print(numbers)

=== set-changed-through-a-member
# %%
class Node:
    def __init__(self, label):
        self.label = label
node = Node("a")
seen = {node}
# %%-
node.label = "b"
# %%+
node.label = "c"
# %%!
print([one.label for one in seen])

=== graph-with-a-cycle
# %%
root = {"name": "root", "children": []}
child = {"name": "child", "parent": root}
root["children"].append(child)
# %%-
child["parent"]["name"] = "changed"
# %%+
child["parent"]["name"] = "other"
# %%!
print(root["name"], root["children"][0]["parent"] is root)

=== identity-is-kept
# %%
token = object()
holder = {"token": token}
# %%-
size = 1
# %%+
size = 2
# %%!
print(holder["token"] is token, size)

=== identity-over-two-cells
# %%
first = []
# %%
second = [first]
# %%-
note = 1
# %%+
note = 2
# %%!
print(second[0] is first, note)
# %%~
first.append(1)
print(second)

=== series-of-a-frame-of-lists
# %%
import pandas as pd
tags = [["a"], ["b"]]
frame = pd.DataFrame({"tags": tags})
# %%-
frame.tags[0].append("x")
# %%+
frame.tags[0].append("y")
# %%!
print(tags)

=== object-array-shares
# %%
import numpy as np
inner = {"n": 0}
array = np.array([inner, None], dtype=object)
# %%-
inner["n"] = 1
# %%+
inner["n"] = 2
# %%!
print(array[0])

=== swapped-names
# %%
a, b = [1], [2]
# %%-
a, b = a, b
# %%+
a, b = b, a
# %%!
a.append(9)
# %%!
print(b)

=== argument-of-a-function-is-changed
# %%
def fill(target, value):
    target.append(value)
# %%
rows = []
# %%-
fill(rows, 1)
# %%+
fill(rows, 2)
# %%!
print(rows)

=== result-of-a-function-is-an-alias
# %%
def pick(table):
    return table["inner"]
table = {"inner": [1]}
# %%
inner = pick(table)
# %%-
inner.clear()
# %%+
inner.append(0)
# %%!
print(table)

=== global-list-in-a-function
# %%
log = []
def note(text):
    log.append(text)
    return text
# %%-
note("one")
# %%+
note("two")
# %%
print("between")
# %%!
print(log)

=== loop-variable-left-over
# %%
frames = {"a": [1], "b": [2]}
# %%-
for name, rows in frames.items():
    rows.append(0)
# %%+
for name, rows in reversed(list(frames.items())):
    rows.append(0)
# %%!
print(name)
# %%!
rows.append(7)
# %%!
print(frames)
"""

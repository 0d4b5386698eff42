"""Law 6 and law 7: what is damaged is a miss, and a cell needs nothing but what it was seen to read."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from trial import World, differences

from pairs import Pair, PairCell, all_pairs

_SOURCES = (
    "import numpy as np\nnp.random.seed(0)\nbig = np.arange(50_000.0)\nview = big[10:]",
    "class Model:\n    rate = 2\nmodel = Model()\nmodel.rows = [1, 2]\ndef score(x): return x * model.rate",
    "view[0] = -1\nopen('kept.txt', 'w').write('kept' * 5000);",
    "print(big.sum(), model.rows, score(3), np.random.rand())",
    "print(len(open('kept.txt').read()))\nmodel.rows.append(3)",
    "print(model.rows)",
)


def cells(last: str = "") -> list[PairCell]:
    """The notebook, its last cell with a remark."""
    sources = [*_SOURCES[:-1], _SOURCES[-1] + last]
    return [PairCell("", source, id=f"c{n}") for n, source in enumerate(sources)]


def blobs_of(store: Path) -> list[Path]:
    """Every regular file of the store that belongs to no environment, run, index or lock."""
    apart = {"environments", "runs", "locks", "side-data", "workers", "alive", "inputs", "scratch"}
    found = [path for path in store.rglob("*") if path.is_file() and not apart & set(path.relative_to(store).parts)]
    return [path for path in found if ".sqlite" not in path.name and path.name != "version"]


def damage(path: Path, how: str) -> None:
    """Change a file as disks and people do."""
    content = path.read_bytes()
    path.chmod(0o600)
    match how:
        case "flipped":
            middle = len(content) // 2
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1 if content else 0]) + content[middle + 1 :])
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "emptied":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case "longer":
            path.write_bytes(content + b"x")


@pytest.mark.parametrize("edited", [False, True], ids=["unchanged", "edited"])
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "gone", "longer"])
def test_damaged_blobs_are_misses(how: str, edited: bool, world: World, own_store: Path) -> None:
    world.run(world.write("nb", cells()))
    blobs = blobs_of(own_store)
    assert blobs, "nothing is kept in files: this test looks at the wrong place"
    draw = random.Random(how)
    for path in draw.sample(blobs, max(1, len(blobs) // 2)):
        damage(path, how)
    path = world.write("nb", cells("  # again" if edited else ""))
    assert not list(differences(world.run(path), world.plain(path)))
    # And the store has mended: what was damaged is there again.
    assert world.run(path).ran == frozenset()


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "gone"])
def test_a_damaged_index_is_not_believed(how: str, world: World, own_store: Path) -> None:
    world.run(world.write("nb", cells()))
    indexes = [
        path for path in own_store.rglob("*.sqlite") if path.name != "records.sqlite" and "runs" not in path.parts
    ]
    assert indexes
    for index in indexes:
        damage(index, how)
        for beside in index.parent.glob(index.name + "-*"):
            beside.unlink()
    path = world.write("nb", cells())
    assert not list(differences(world.run(path), world.plain(path)))


def test_a_store_that_cannot_be_written_is_read(world: World, own_store: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root writes anywhere")
    path = world.write("nb", cells())
    first = world.run(path)
    for folder, _, _ in os.walk(own_store):
        Path(folder).chmod(0o500)
    try:
        assert not list(differences(world.run(path, output=world.folder / "out"), first))
    finally:
        for folder, _, _ in os.walk(own_store):
            Path(folder).chmod(0o700)


FRESH = [pair for position, pair in enumerate(all_pairs()) if position % 5 == 2]


@pytest.mark.parametrize("pair", FRESH, ids=lambda pair: pair.id)
def test_a_cell_needs_nothing_but_what_it_was_seen_to_read(pair: Pair, world: World) -> None:
    """Each cell in turn runs in a fresh process from its recorded reads; what it writes is equal, so nothing after it runs."""
    path = world.write("fresh", pair.after)
    world.run(path)
    right = world.plain(path)
    code = [cell for cell in pair.after if cell.kind == "code"]
    for position, cell in enumerate(code):
        answer = world.run(path, refresh=[cell.id])
        assert not list(differences(answer, right)), f"cell {position}"
        always = {n for n, other in enumerate(code) if "cache:disabled" in other.tags}
        assert answer.ran <= {position} | always, f"cell {position} runs again: {answer.reasons}"

# ruff: noqa: RUF005, PTH123, UP031, T201, C901 - it runs on Python 3.6
"""Keeps the namespaces of cells in one process and makes them again in another; runs on every Python there is.

    python definition_round.py PACKAGE save FILE < cases.json       answers {name: [what its check printed, hash, problem]}
    python definition_round.py PACKAGE load FILE < cases.json

A case is `{"name", "cells": [source, ...], "check": source}`. The bundling here is the simplest that there is: one bundle for all.
"""

import contextlib
import copyreg
import hashlib
import importlib
import io
import json
import marshal
import pickle
import sys
import traceback
import types


def the_package(folder):
    sys.path.insert(0, folder)
    sys.modules["kanoe_worker"] = importlib.import_module("worker")
    return [importlib.import_module("kanoe_worker.track." + name) for name in ("definitions", "shells", "savers")]


class Pickler(pickle._Pickler):
    def __init__(self, file, known, savers, tokens, seen):
        pickle._Pickler.__init__(self, file, protocol=4)
        self.known, self.savers, self.tokens, self.seen, self.kept = known, savers, tokens, seen, []

    def persistent_id(self, thing):
        token = self.tokens.get(id(thing))
        if token is None:
            token = self.known.token(thing)
            if token is not None:
                owner = self.known.owner(thing)
            if token is not None and owner is not None:
                self.seen[self.known.reference(owner)] = owner
        return token

    def save(self, thing, save_persistent_id=True):
        if id(thing) not in self.memo and id(thing) not in self.tokens and self.known.token(thing) is None:
            saver = self.savers.find(thing)
            if saver is not None:
                if saver.lost:
                    raise ValueError(saver.lost)
                packed = saver.pack(thing)
                self.kept.append(packed)
                self.save_reduce(saver.unpack, (packed,), obj=thing)
                return None
        return pickle._Pickler.save(self, thing, save_persistent_id)


def keep(known, shells, savers, values):
    members = {}
    while True:
        packed = shells.pack(known, members)
        seen = {}
        buffer = io.BytesIO()
        Pickler(buffer, known, savers, packed.tokens, seen).dump((packed.contents, values))
        if set(seen) <= set(members):
            return {"frames": packed.frames, "body": buffer.getvalue()}
        members.update(seen)


def restore(known, shells, record, register=True):
    objects = shells.make(known, record["frames"], register)

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, token):
            return objects[token] if token in objects else known.find(token)

    contents, values = Unpickler(io.BytesIO(record["body"])).load()
    shells.fill(objects, contents)
    return values


class Hasher:
    """Hashes values and, each once, the definitions that they need: no names of places, no order of sets."""

    def __init__(self, known, savers, definitions):
        self.known, self.savers, self.definitions = known, savers, definitions
        self.numbers, self.waiting, self.held = {}, [], []

    def digest(self, values):
        forms = [self.form(values)]
        while self.waiting:
            parts = self.known.parts(self.waiting.pop(0))
            self.held.append(parts)
            forms.append(self.form(parts))
        return hashlib.sha256(marshal.dumps(forms, 2)).hexdigest()

    def form(self, thing):
        kind = type(thing)
        if kind in (type(None), bool, int, float, complex, str, bytes):
            return thing
        if kind is tuple:
            return ("t",) + tuple(self.form(item) for item in thing)
        if kind in (set, frozenset):
            return ("s",) + tuple(sorted(marshal.dumps(self.form(item), 2) for item in thing))
        if kind is types.CodeType:
            return self.savers.find(thing).canonical(thing)
        token = self.known.token(thing)
        if token is None and type in type.__dict__["__mro__"].__get__(kind):
            saver = self.savers.find(thing)
            if saver is not None:
                return ("generic", self.form(saver.pack(thing)))
            return ("class",) + tuple(self.definitions.class_name(thing) or (thing.__name__,))
        if token is None and kind is types.FunctionType:
            return ("function",) + tuple(self.definitions.library_name(thing))
        owner = thing if token is None else self.known.owner(thing)
        if owner is None:
            return token
        if id(owner) in self.numbers:
            return ("again", self.numbers[id(owner)], token)
        self.numbers[id(owner)] = len(self.numbers)
        self.held.append(owner)
        if token is not None:
            self.waiting.append(owner)
            return ("definition", token)
        return self.content(kind, thing)

    def content(self, kind, thing):
        if kind is list:
            return ("l",) + tuple(self.form(item) for item in thing)
        if kind is dict:
            return ("d",) + tuple((self.form(key), self.form(item)) for key, item in thing.items())
        saver = self.savers.find(thing)
        if saver is not None:
            canonical = saver.canonical(thing)
            self.held.append(canonical)
            return (kind.__name__, self.form(canonical))
        reduced = copyreg.dispatch_table[kind](thing) if kind in copyreg.dispatch_table else thing.__reduce_ex__(4)
        self.held.append(reduced)
        if isinstance(reduced, str):
            return ("named", reduced)
        return ("reduced",) + tuple(
            self.form(list(item) if place > 2 and item is not None else item)
            for place, item in enumerate(reduced)
            if place
        )


def answer(namespace, source):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(source, "<check>", "exec"), namespace)
        except Exception:
            out.write(traceback.format_exc(limit=0))
    return out.getvalue()


def main():
    folder, verb, path = sys.argv[1:]
    definitions, shells, savers = the_package(folder)
    cases = json.load(sys.stdin)
    results, records = {}, {}
    if verb == "load":
        with open(path, "rb") as file:
            records = pickle.load(file)
    for case in cases:
        namespace = sys.modules["__main__"].__dict__
        for name in [name for name in namespace if name not in KEPT]:
            del namespace[name]
        result = results[case["name"]] = ["", "", ""]
        known = definitions.Definitions(namespace)
        try:
            if verb == "save":
                for number, cell in enumerate(case["cells"]):
                    exec(compile(cell, "<cell-%d>" % number, "exec"), namespace)
                values = {name: value for name, value in namespace.items() if name not in KEPT}
                records[case["name"]] = keep(known, shells, savers, values)
            else:
                values = restore(known, shells, records[case["name"]])
                namespace.update(values)
            result[1] = Hasher(known, savers, definitions).digest(values)
            result[0] = answer(namespace, case["check"])
        except Exception:
            result[2] = traceback.format_exc()
    if verb == "save":
        with open(path, "wb") as file:
            pickle.dump(records, file)
    print(json.dumps(results))


KEPT = frozenset(globals()) | {"KEPT"}

if __name__ == "__main__":
    main()

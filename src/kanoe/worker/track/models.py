"""Savers for what libraries of machine learning and drawing make. Nothing here imports a library that is not there already."""

import copyreg
import functools
import sys
import types
import weakref

from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.saver import Saver, lost


def _full_name(kind):
    return "%s.%s" % (kind.__module__, kind.__qualname__)


# ---- PyTorch ----------------------------------------------------------------------------------------------------------------
# A tensor is an array over the memory of its storage: what shares memory is seen, kept and made again as with arrays.

_UNKNOWN_TO_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64")


def _choose_tensor(tensor):
    torch = sys.modules["torch"]
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        return None  # its own pickling takes it apart into plain tensors
    if tensor.grad_fn is not None:
        return _COMPUTED_TENSOR
    if tensor._backward_hooks or getattr(tensor, "is_conj", _false)() or getattr(tensor, "is_neg", _false)():
        return lost("a tensor with hooks or a lazy sign")
    if tensor.device.type == "cpu":
        return _TENSOR
    return _FAR_TENSOR if tensor.device.type == "cuda" else lost("a tensor on %s" % tensor.device.type)


def _false():
    return False


def _memory(tensor):
    """Return all memory of a tensor's storage as bytes in an array; nothing is copied."""
    torch = sys.modules["torch"]
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    whole = torch.empty(0, dtype=tensor.dtype).set_(storage)
    if str(tensor.dtype).split(".")[1] in _UNKNOWN_TO_NUMPY:
        whole = whole.view(torch.int8 if whole.element_size() == 1 else torch.int16)
    return whole.numpy().view("u1")


def _pack_tensor(tensor):
    plain = tensor.detach()
    name = str(plain.dtype).split(".")[1]
    place = (plain.storage_offset(), tuple(plain.size()), tuple(plain.stride()))
    return (type(tensor), _memory(plain), name, place, _gradient(tensor), _attributes(tensor))


def _gradient(tensor):
    return (tensor.requires_grad, tensor.grad if tensor.requires_grad else None)


def _attributes(tensor):
    return dict(object.__getattribute__(tensor, "__dict__"))


def _unpack_tensor(packed):
    kind, memory, name, place, gradient, attributes = packed
    return _finished(kind, _tensor_over(memory, name, place), gradient, attributes)


def _tensor_over(memory, name, place):
    torch = sys.modules["torch"]
    dtype = getattr(torch, name)
    whole = torch.from_numpy(memory)
    size = torch.empty(0, dtype=dtype).element_size()
    storage = whole.untyped_storage() if hasattr(whole, "untyped_storage") else None
    if storage is None:  # before 2.0: a storage has a type
        plain = (
            {1: "i1", 2: "i2", 4: "i4", 8: "i8", 16: "c16"}[size]
            if name in _UNKNOWN_TO_NUMPY
            else _NUMPY_NAMES.get(name, name)
        )
        whole = torch.from_numpy(memory.view(plain))
        storage = (whole if whole.dtype is dtype else whole.view(dtype)).storage()
    return torch.empty(0, dtype=dtype).set_(storage, *place)


_NUMPY_NAMES = {"long": "int64", "int": "int32", "double": "float64", "float": "float32", "half": "float16"}


def _finished(kind, tensor, gradient, attributes):
    torch = sys.modules["torch"]
    requires, grad = gradient
    if _full_name(kind).endswith("Parameter"):
        tensor = torch.nn.Parameter(tensor, requires)
    elif _full_name(kind).endswith("Buffer"):
        tensor = torch.nn.Buffer(tensor)
    elif requires:
        tensor.requires_grad_(True)
    if grad is not None:
        tensor.grad = grad
    for name, value in attributes.items():
        object.__setattr__(tensor, name, value)
    return tensor


def _pack_far_tensor(tensor):
    plain = tensor.detach()
    if (
        not plain.is_contiguous()
        or plain.storage_offset()
        or _storage_size(plain) != plain.numel() * plain.element_size()
    ):
        raise ValueError("a view of memory on %s" % tensor.device)
    return (type(tensor), str(tensor.device), plain.cpu(), _gradient(tensor), _attributes(tensor))


def _storage_size(tensor):
    return tensor.untyped_storage().nbytes() if hasattr(tensor, "untyped_storage") else tensor.storage().nbytes()


def _unpack_far_tensor(packed):
    kind, device, tensor, gradient, attributes = packed
    return _finished(kind, tensor.to(device), gradient, attributes)


def _leaves(tensor):
    """Return the parameters that a computed tensor would change by `backward`: not those behind what was used up by another."""
    found, seen, todo = [], set(), [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        if not _is_used_up(node):
            todo.extend([entry[0] for entry in node.next_functions])
    return found


def _is_used_up(node):
    try:
        for name in dir(node):
            if name.startswith("_saved_"):
                getattr(node, name)
    except RuntimeError:
        return True
    return False


def _pack_storage(storage):
    torch = sys.modules["torch"]
    dtype = getattr(storage, "dtype", torch.uint8)
    return (type(storage), _memory(torch.empty(0, dtype=dtype).set_(storage)), str(dtype).split(".")[1])


def _unpack_storage(packed):
    kind, memory, name = packed
    torch = sys.modules["torch"]
    size = torch.empty(0, dtype=getattr(torch, name)).element_size()
    tensor = _tensor_over(memory, name, (0, (memory.nbytes // size,), (1,)))
    return tensor.untyped_storage() if kind.__name__ == "UntypedStorage" else tensor.storage()


def _pack_torch_generator(generator):
    return (str(generator.device), generator.get_state())


def _unpack_torch_generator(packed):
    made = sys.modules["torch"].Generator(packed[0])
    made.set_state(packed[1])
    return made


def _pack_optimizer(optimizer):
    """Return all that it holds (its own pickling forgets some), and how a scheduler counts its steps."""
    held = dict(optimizer.__dict__)
    marks = [mark for mark in ("_with_counter", "_wrapped_by_lr_sched") if hasattr(held.get("step"), mark)]
    if marks:
        del held["step"]
    return (type(optimizer), held, marks)


def _unpack_optimizer(packed):
    kind, held, marks = packed
    made = object.__new__(kind)
    made.__dict__.update(held)
    for name in ("_patch_step_function", "_hook_for_profile"):
        if hasattr(made, name):
            getattr(made, name)()
            break
    if marks:
        _count_steps(made, marks[0])
    return made


def _count_steps(optimizer, mark):
    """Wrap a method as PyTorch's schedulers do, who warn where they find it otherwise."""
    reference, function = weakref.ref(optimizer), type(optimizer).step

    @functools.wraps(function)
    def step(*arguments, **named):
        found = reference()
        if mark == "_with_counter":
            found._step_count += 1
        else:
            found._opt_called = True
        return function.__get__(found, type(found))(*arguments, **named)

    setattr(step, mark, True)
    optimizer.step = step if mark == "_with_counter" else _as_method(step, mark, optimizer)


def _as_method(step, mark, optimizer):
    def method(_, *arguments, **named):
        return step(*arguments, **named)

    setattr(method, mark, True)
    return types.MethodType(method, optimizer)


_TENSOR = Saver(_pack_tensor, _unpack_tensor)
_FAR_TENSOR = Saver(_pack_far_tensor, _unpack_far_tensor)
_COMPUTED_TENSOR = lost("a tensor that remembers how it was computed", _leaves)
_STORAGE = Saver(_pack_storage, _unpack_storage)
_SCRIPT = lost("a TorchScript program")


# ---- gradient boosting ------------------------------------------------------------------------------------------------------


def _choose_lightgbm(booster):
    return (
        lost("a LightGBM booster that is still in training")
        if getattr(booster, "train_set", None) is not None
        else None
    )


def _choose_dataset(dataset):
    made = getattr(dataset, "_handle", getattr(dataset, "handle", None))
    return lost("a LightGBM dataset") if made is not None else None


def _pack_catboost(model):
    return (type(model), model.__getstate__())


def _canonical_catboost(model):
    """Return the state without the moment and the number of the training."""
    state = dict(model.__getstate__())
    if "__model" in state:
        again = sys.modules["catboost"].CatBoost()
        again.__setstate__({"__model": state["__model"]})
        notes = again.get_metadata()
        for name in ("train_finish_time", "model_guid"):
            if name in notes.keys():
                del notes[name]
        state["__model"] = again.__getstate__()["__model"]
    return (type(model), state)


def _unpack_catboost(packed):
    made = packed[0].__new__(packed[0])
    made.__setstate__(packed[1])
    return made


# ---- spaCy ------------------------------------------------------------------------------------------------------------------
# Its store of strings grows with every text: it is kept, but it is not part of the value.


def _pack_registered(thing):
    return copyreg.dispatch_table[type(thing)](thing)[:2]


def _unpack_registered(packed):
    return packed[0](*packed[1])


def _choose_registered(saver):
    return lambda thing: saver if type(thing) in copyreg.dispatch_table else None


def _pack_language(language):
    return (type(language), language.__dict__)


def _unpack_language(packed):
    made = packed[0].__new__(packed[0])
    made.__dict__.update(packed[1])
    return made


def _canonical_language(language):
    return (language.config.to_str(), language.to_bytes(exclude=["vocab"]), _canonical_vocabulary(language.vocab))


def _canonical_vocabulary(vocabulary):
    return (vocabulary.lang, vocabulary.vectors.to_bytes(exclude=["strings"]))


def _canonical_document(document):
    return (document.to_bytes(exclude=["strings"]), _canonical_vocabulary(document.vocab))


def _reach_language(language):
    return [language.vocab] + [component for _, component in language._components]


def _reach_document(document):
    return [document.vocab]


_VOCABULARY = Saver(_pack_registered, _unpack_registered, _canonical_vocabulary)
_DOCUMENT = Saver(_pack_registered, _unpack_registered, _canonical_document, reach=_reach_document)


# ---- drawing ----------------------------------------------------------------------------------------------------------------


def _figure(artist):
    return [artist.figure] if getattr(artist, "figure", None) is not None else []


def _canvas_figure(thing):
    found = getattr(thing, "figure", getattr(thing, "fig", getattr(thing, "_fig", None)))
    return [found] if found is not None else []


_ARTIST = lost("a figure", _figure)
_GRID = lost("a figure", _canvas_figure)


# ---- compiled functions -----------------------------------------------------------------------------------------------------


def _pack_numba(dispatcher):
    return (type(dispatcher), dispatcher.py_func, dict(dispatcher.targetoptions), getattr(dispatcher, "locals", {}))


def _unpack_numba(packed):
    kind, function, options, variables = packed
    return kind(function, locals=variables, targetoptions=options)


_NUMBA = Saver(_pack_numba, _unpack_numba)


def _pack_vectorizer(vectorizer):
    """Say whether the stop words were looked at, which it notes by the place where they lie."""
    state = dict(vectorizer.__dict__)
    noted = state.pop("_stop_words_id", None)
    return (type(vectorizer), state, noted is not None and noted == id(state.get("stop_words")))


def _unpack_vectorizer(packed):
    kind, state, noted = packed
    vectorizer = object.__new__(kind)
    vectorizer.__dict__.update(state)
    if noted:
        vectorizer.__dict__["_stop_words_id"] = id(state["stop_words"])
    return vectorizer


_VECTORIZER = Saver(_pack_vectorizer, _unpack_vectorizer)

TABLE = {
    "torch.Tensor": _choose_tensor,
    "torch._tensor.Tensor": _choose_tensor,
    "torch.tensor.Tensor": _choose_tensor,
    "torch.nn.parameter.Parameter": _choose_tensor,
    "torch.nn.parameter.Buffer": _choose_tensor,
    "torch.storage.UntypedStorage": _STORAGE,
    "torch.storage.TypedStorage": _STORAGE,
    "torch.storage._TypedStorage": _STORAGE,
    "torch._C.Generator": Saver(_pack_torch_generator, _unpack_torch_generator),
    "torch.optim.optimizer.Optimizer": Saver(_pack_optimizer, _unpack_optimizer),
    "torch.jit._script.ScriptModule": _SCRIPT,
    "torch.jit.ScriptFunction": _SCRIPT,
    "torch.utils.data.dataloader._BaseDataLoaderIter": lost("a running DataLoader"),
    "lightgbm.basic.Booster": _choose_lightgbm,
    "lightgbm.basic.Dataset": _choose_dataset,
    "xgboost.core.DMatrix": lost("an XGBoost DMatrix"),
    "catboost.core._CatBoostBase": Saver(_pack_catboost, _unpack_catboost, _canonical_catboost),
    "catboost.core.Pool": lost("a CatBoost pool"),
    "sklearn.feature_extraction.text.VectorizerMixin": _VECTORIZER,
    "sklearn.feature_extraction.text._VectorizerMixin": _VECTORIZER,
    "spacy.language.Language": Saver(_pack_language, _unpack_language, _canonical_language, reach=_reach_language),
    "spacy.vocab.Vocab": _choose_registered(_VOCABULARY),
    "spacy.tokens.doc.Doc": _choose_registered(_DOCUMENT),
    "matplotlib.artist.Artist": _ARTIST,
    "matplotlib.animation.Animation": _GRID,
    "matplotlib.backend_bases.FigureCanvasBase": _GRID,
    "matplotlib.backend_bases.FigureManagerBase": _GRID,
    "matplotlib.backend_bases.Event": _GRID,
    "matplotlib.widgets.Widget": _GRID,
    "seaborn.axisgrid.Grid": _GRID,
    "seaborn.axisgrid.JointGrid": _GRID,
    "tqdm.std.tqdm": lost("a progress bar"),
    "tqdm._tqdm.tqdm": lost("a progress bar"),
    "traitlets.traitlets.HasTraits": lost("a widget, or another object that others watch"),
    "ipykernel.comm.comm.Comm": lost("a channel to the browser"),
    "h5py._hl.base.HLObject": lost("an open HDF5 file"),
    "pandas.io.pytables.HDFStore": lost("an open HDF5 file"),
    "pandas.io.excel._base.ExcelFile": lost("an open workbook"),
    "pandas.io.excel._base.ExcelWriter": lost("an open workbook"),
    "pandas.io.parsers.readers.TextFileReader": lost("an open file"),
    "pandas.io.parsers.TextFileReader": lost("an open file"),
    "urllib3.response.HTTPResponse": lost("a connection"),
    "http.client.HTTPResponse": lost("a connection"),
    "numba.core.dispatcher.Dispatcher": _NUMBA,
    "numba.dispatcher.Dispatcher": _NUMBA,
    "pyspark.rdd.RDD": lost("data of Spark"),
    "pyspark.sql.dataframe.DataFrame": lost("data of Spark"),
    "pyspark.sql.session.SparkSession": lost("a session of Spark"),
    "pyspark.context.SparkContext": lost("a session of Spark"),
    "h2o.frame.H2OFrame": lost("data of H2O"),
}
EXACT = frozenset(
    name for name in TABLE if name.startswith(("torch.Tensor", "torch._tensor", "torch.tensor", "torch.nn.parameter"))
)

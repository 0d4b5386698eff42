"""Savers for Keras (2 as `tf.keras` or alone, and 3) and TensorFlow's tensors.

A model of the library's own classes is its configuration, its variables and its optimizer's: enough to predict and to go on training.
Models of the notebook's own classes, and those whose configuration names functions of the notebook, are lost.
"""

import json
import sys

from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.saver import Saver, lost


def _keras_of(thing):
    """Return the module that has `models` for a Keras object: keras, tensorflow.keras."""
    root = type(thing).__module__.split(".")[0]
    return sys.modules["keras"] if root == "keras" else sys.modules["tensorflow"].keras


def _choose_model(model):
    if type(model).__module__.split(".")[0] not in ("keras", "tensorflow"):
        return lost("a Keras model of a class of the notebook", _parts_and_more)
    if type(model).__name__ not in ("Sequential", "Functional", "Model"):
        return lost("a Keras model that only its own code can make", _parts_and_more)
    return _MODEL


def _pack_model(model):
    text = model.to_json()
    _check_configuration(json.loads(text))
    optimizer = getattr(model, "optimizer", None)
    settings = None
    if optimizer is not None:
        if not hasattr(model, "get_compile_config"):
            raise ValueError("a Keras model that was compiled")
        settings = model.get_compile_config()
        _check_configuration(settings)
    history = getattr(model, "history", None)
    told = (
        {name: history.__dict__.get(name) for name in ("params", "history", "epoch")}
        if hasattr(history, "__dict__")
        else None
    )
    trained = [layer.trainable for layer in model.layers]
    root = _keras_of(model).__name__
    return (root, text, _values(model.variables), _own_text(settings), _values(_variables(optimizer)), told, trained)


def _own_text(settings):
    return None if settings is None else json.dumps(settings, sort_keys=True)


def _values(variables):
    return [_array(variable) for variable in variables]


def _array(variable):
    numpy = sys.modules["numpy"]
    return numpy.array(variable.numpy() if hasattr(variable, "numpy") else variable)


def _variables(optimizer):
    found = getattr(optimizer, "variables", ())
    return list(found() if callable(found) else found)


def _check_configuration(entry):
    """Raise ValueError where a configuration names what the library cannot find again."""
    if isinstance(entry, dict):
        name = entry.get("registered_name")
        if name and ">" in name and not name.startswith(("keras", "builtins")):
            raise ValueError("a Keras model with functions of the notebook")
        if entry.get("class_name") in ("Lambda", "function", "TFOpLambda", "__lambda__"):
            raise ValueError("a Keras model with functions of the notebook")
        if "module" in entry and "class_name" in entry and entry["module"] is None:
            raise ValueError("a Keras model with functions of the notebook")
        for value in entry.values():
            _check_configuration(value)
    elif isinstance(entry, (list, tuple)):
        for value in entry:
            _check_configuration(value)


def _unpack_model(packed):
    root, text, values, settings, of_optimizer, told, trained = packed
    __import__(root.split(".")[0])
    keras = sys.modules["keras"] if root == "keras" else sys.modules["tensorflow"].keras
    made = keras.models.model_from_json(text)
    for layer, flag in zip(made.layers, trained):  # noqa: B905 - Python 3.6
        if layer.trainable is not flag:
            layer.trainable = flag
    _assign(made.variables, values)
    if settings is not None:
        made.compile_from_config(json.loads(settings))
        if of_optimizer and len(_variables(made.optimizer)) < len(of_optimizer):
            made.optimizer.build(made.trainable_variables)
        _assign(_variables(made.optimizer), of_optimizer)
    if told is not None:
        _attach_history(keras, made, told)
    return made


def _attach_history(keras, model, told):
    history = keras.callbacks.History()
    history.set_model(model)
    history.__dict__.update({name: value for name, value in told.items() if value is not None})
    model.history = history


def _assign(variables, values):
    if len(variables) != len(values):
        raise ValueError("other variables than before")
    for variable, value in zip(variables, values):  # noqa: B905 - Python 3.6
        variable.assign(value)


def _parts(model):
    """Return the layers, nested ones too, and the optimizer of a model: what other variables may hold as well."""
    found, todo = [], [model]
    while todo:
        for layer in getattr(todo.pop(), "layers", ()):
            found.append(layer)
            todo.append(layer)
    optimizer = getattr(model, "optimizer", None)
    for variable in list(model.variables):
        found += [variable, getattr(variable, "_value", variable)]
    return found + ([optimizer] if optimizer is not None else [])


def _parts_and_more(model):
    """Return also what the code of a notebook's own model may change."""
    return _parts(model) + [value for value in model.__dict__.values() if type(value) in (list, dict, set)]


def _model_of(callback):
    return getattr(callback, "_model", None) or callback.__dict__.get("model")


def _pack_history(history):
    model = _model_of(history)
    attached = model is not None and getattr(model, "history", None) is history
    state = {name: value for name, value in history.__dict__.items() if name not in ("model", "_model")}
    return (type(history), None if attached else state, model)


def _unpack_history(packed):
    kind, state, model = packed
    if state is None:
        return model.history
    made = kind.__new__(kind)
    if model is not None:
        made.set_model(model)
    made.__dict__.update(state)
    return made


def _choose_optimizer(optimizer):
    return lost("a Keras optimizer in use") if len(_variables(optimizer)) > 2 else _OPTIMIZER


def _pack_optimizer(optimizer):
    return (type(optimizer), json.dumps(optimizer.get_config(), sort_keys=True, default=float))


def _unpack_optimizer(packed):
    return packed[0].from_config(json.loads(packed[1]))


def _pack_tensor(tensor):
    return tensor.numpy()


def _unpack_tensor(array):
    return sys.modules["tensorflow"].constant(array)


def _pack_variable(variable):
    return (variable.numpy(), variable.name.split(":")[0], variable.trainable)


def _unpack_variable(packed):
    return sys.modules["tensorflow"].Variable(packed[0], name=packed[1], trainable=packed[2])


_MODEL = Saver(_pack_model, _unpack_model, reach=_parts, alone=True)
_HISTORY = Saver(_pack_history, _unpack_history)
_OPTIMIZER = Saver(_pack_optimizer, _unpack_optimizer)
_DATASET = lost("a TensorFlow dataset")
_LAYER = lost("a Keras layer")
_VARIABLE = Saver(_pack_variable, _unpack_variable)

TABLE = {"tensorflow.python.framework.ops.EagerTensor": Saver(_pack_tensor, _unpack_tensor)}
for _root in ("keras.src", "tensorflow.python.keras", "keras", "keras.api._v2.keras"):
    TABLE.update(
        {
            _root + ".models.model.Model": _choose_model,
            _root + ".engine.training.Model": _choose_model,
            _root + ".layers.layer.Layer": _LAYER,
            _root + ".engine.base_layer.Layer": _LAYER,
            _root + ".callbacks.history.History": _HISTORY,
            _root + ".callbacks.History": _HISTORY,
            _root + ".optimizers.optimizer.Optimizer": _choose_optimizer,
            _root + ".optimizers.base_optimizer.BaseOptimizer": _choose_optimizer,
            _root + ".optimizers.optimizer_v2.optimizer_v2.OptimizerV2": _choose_optimizer,
            _root + ".optimizer_v2.optimizer_v2.OptimizerV2": _choose_optimizer,
            _root + ".optimizers.optimizer_experimental.optimizer.Optimizer": _choose_optimizer,
            _root + ".backend.common.variables.Variable": lost("a variable of a Keras layer"),
        }
    )
TABLE.update(
    {
        "tensorflow.python.ops.resource_variable_ops.BaseResourceVariable": _VARIABLE,
        "tensorflow.python.data.ops.dataset_ops.DatasetV2": _DATASET,
        "tensorflow.python.data.ops.iterator_ops.IteratorBase": _DATASET,
        "tensorflow.python.eager.backprop.GradientTape": lost("a gradient tape"),
        "tensorflow.python.eager.def_function.Function": lost("a TensorFlow function"),
        "tensorflow.python.eager.polymorphic_function.polymorphic_function.Function": lost("a TensorFlow function"),
        "tensorflow.python.framework.ops.Graph": lost("a TensorFlow graph"),
        "tensorflow.python.client.session.BaseSession": lost("a TensorFlow session"),
    }
)

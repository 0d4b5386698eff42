"""`freeze()`, which notebooks call to show their versions."""


def freeze(*_arguments, **_options):
    """Yield the lines of `pip freeze`."""
    from kanoe_worker import pip as program

    return iter(program.frozen_lines())

"""`pip` as a run has it: `python -m pip` and `pip.main`; what else the environment's own pip holds stays to be imported."""

import os
import sys


def _join(path, *parts, first=False):
    """Let a package hold what the environment's own pip has besides; `first`: the environment's wins."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in sys.path:
        other = os.path.join(folder, *parts)
        if os.path.abspath(folder or ".") != here and os.path.isfile(os.path.join(other, "__init__.py")):
            path.insert(0 if first else len(path), other)


_join(__path__, "pip")

__version__ = "21.3.1" if sys.version_info < (3, 7) else "24.0"


def main(args=None):
    """Do what the arguments say; returns the exit status."""
    from kanoe_worker import pip as program

    return program.main(["pip"] + list(sys.argv[1:] if args is None else args))


def get_installed_distributions(*_arguments, **_options):
    """Return what is installed, as pip did before version 10."""
    import pkg_resources

    return list(pkg_resources.working_set)

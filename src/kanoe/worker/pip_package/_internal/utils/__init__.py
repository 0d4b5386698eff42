"""What pip's parts share; from version 10 to 21 a module `misc` told what is installed."""

import sys
import types

from pip import _join, get_installed_distributions

_own = len(__path__)
_join(__path__, "pip", "_internal", "utils", first=True)

if len(__path__) == _own:
    misc = types.ModuleType(__name__ + ".misc")
    misc.get_installed_distributions = get_installed_distributions
    sys.modules[misc.__name__] = misc

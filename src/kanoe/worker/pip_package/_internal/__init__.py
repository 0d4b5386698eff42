"""Where pip keeps its parts since version 10."""

from pip import _join, main  # noqa: F401 - what notebooks import from here

_join(__path__, "pip", "_internal")

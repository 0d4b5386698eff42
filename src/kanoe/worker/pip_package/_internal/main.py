"""Where pip keeps `main` since version 19.3."""

from pip import main  # noqa: F401

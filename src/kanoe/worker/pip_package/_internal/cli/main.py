"""Where pip keeps `main` since version 20."""

from pip import main  # noqa: F401

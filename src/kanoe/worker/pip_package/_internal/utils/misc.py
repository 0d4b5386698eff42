"""`get_installed_distributions`, where pip kept it from version 10 to 21."""

from pip import get_installed_distributions  # noqa: F401

"""Days and moments of releases: ISO dates, and the RFC 3339 times that uv and the registries take and give."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from kanoe.environments.registry import File, Offer, Project
from kanoe.environments.versions import is_prerelease, sort_key, version_fits


def newest_of(project: Project, day: str, *specifiers: str) -> File | None:
    """Return a file of the newest release before a day that fits all specifiers, whatever it is for."""
    files = [one for one in project.files if one.version and one.uploaded and one.uploaded < day and not one.yanked]
    final = [one for one in files if not is_prerelease(one.version or "")]
    final = [one for one in final if all(version_fits(one.version or "", specifier) for specifier in specifiers)]
    return max(final, key=lambda one: sort_key(one.version or ""), default=None)


def is_later(offer: Offer, version: str) -> bool:
    """Return whether an offer is of a later version."""
    return bool(sort_key(offer.version) > sort_key(version))


def uploaded_on(package: Mapping[str, Any]) -> date | None:
    """Return the day of a package's first file in a pylock file, or `None` where the registry does not say it."""
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    days = [one["upload-time"].date() for one in files if isinstance(one.get("upload-time"), datetime)]
    return min(days, default=None)


def moment_of(day: str) -> str:
    """Return the time at which a day begins; a time is its own."""
    return day if len(day) > 10 else f"{day}T00:00:00Z"


def date_of(time: str) -> date:
    """Return the day of a time or a day."""
    return datetime.fromisoformat(time[:10]).replace(tzinfo=UTC).date()


def day_after(time: str) -> str:
    """Return the day after that of a time."""
    return (date_of(time) + timedelta(days=1)).isoformat()

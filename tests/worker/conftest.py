"""The worker as it is inside a notebook's own process: the package `kanoe_worker`."""

from __future__ import annotations

import sys

import kanoe.worker

sys.modules.setdefault("kanoe_worker", kanoe.worker)

"""What host.json says, as far as this host heeds it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .functions import HostRefused

TIME = re.compile(r"(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True)
class QueueOptions:
    """`extensions.queues`, with the defaults of the storage extension 5.x.

    `lock` is not in host.json: the real host takes ten minutes.
    """

    batch_size: int = 16
    new_batch_threshold: int = 8 * (os.cpu_count() or 1)
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta(0)
    max_polling_interval: timedelta = timedelta(minutes=1)
    base64: bool = True
    lock: timedelta = timedelta(minutes=10)


def read_prefix(host_json: Mapping[str, Any]) -> str:
    """Return the prefix of every route, ``api`` unless named."""
    prefix = host_json.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    return str(prefix).strip("/")


def read_queue_options(host_json: Mapping[str, Any]) -> QueueOptions:
    """Return how queue messages are taken; unknown or impossible values are refused."""
    given = dict(host_json.get("extensions", {}).get("queues", {}))
    batch_size = _integer(given, "batchSize", QueueOptions.batch_size, 1, 32)
    default_threshold = batch_size // 2 * (os.cpu_count() or 1)
    encoding = given.pop("messageEncoding", "base64")
    if encoding not in {"base64", "none"}:
        raise HostRefused("host.json: messageEncoding is 'base64' or 'none'.")
    options = QueueOptions(
        batch_size=batch_size,
        new_batch_threshold=_integer(given, "newBatchThreshold", default_threshold, 0, 10_000),
        max_dequeue_count=_integer(given, "maxDequeueCount", 5, 1, 10_000),
        visibility_timeout=_time(given, "visibilityTimeout", timedelta(0)),
        max_polling_interval=_time(given, "maxPollingInterval", timedelta(minutes=1)),
        base64=encoding == "base64",
    )
    if given:
        raise HostRefused(f"host.json: extensions.queues has no {', '.join(sorted(given))}.")
    return options


def _integer(given: dict[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = given.pop(key, default)
    if not isinstance(value, int) or not least <= value <= most:
        raise HostRefused(f"host.json: {key} is a number from {least} to {most}.")
    return value


def _time(given: dict[str, Any], key: str, default: timedelta) -> timedelta:
    value = given.pop(key, None)
    if value is None:
        return default
    found = TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise HostRefused(f"host.json: {key} is a time, hh:mm:ss.")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

"""The name of the folder in which the processes of one service share their metrics."""

import hashlib
import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_NETWORK: Final = Path("/proc/self/ns/net")
"""What containers that cannot listen on the same port do not share."""


def group_name(service: str, told: Mapping[str, Any]) -> str:
    """Return a name for processes that are `told` the same and are in the same place."""
    facts = {**told, "host": [socket.gethostname(), _network()]}
    digest = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
    return f"{re.sub('[^A-Za-z0-9_-]', '_', service)[:64]}-{digest}"


def _network() -> str:
    try:
        return str(_NETWORK.readlink())
    except OSError:
        return ""

"""The process that owns a run, as its `owner.json` says: who it is, its age, whether it lives."""

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def who(owner: Mapping[str, Any]) -> str:
    """What a message calls it: `process 7 on n1`."""
    if "pid" not in owner:
        return "a process"
    return f"process {owner['pid']} on {owner.get('host', '?')}"


def age_s(owner: Mapping[str, Any]) -> float:
    """The time since its last heartbeat, in s; 0 if that is not recorded."""
    try:
        beat = datetime.strptime(str(owner.get("heartbeat")), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return 0.0
    return time.time() - beat.timestamp()


def is_alive(owner: Mapping[str, Any]) -> bool:
    """Whether its process is alive; False for one of another machine."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        pass
    return True

"""Values of options that several commands take."""

import argparse
import math
from urllib.parse import urlsplit


def port(text: str) -> int:
    """Return the number of a TCP port; 0 asks for a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 (any free one) to 65535")
    return int(text)


def positive(text: str) -> float:
    """Return a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"it must be a number above zero, not {text!r}")
    return value


def address(text: str) -> str:
    """Return the address of a server that speaks HTTP."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise argparse.ArgumentTypeError(f"{text!r} is no address like http://localhost:4318")
    return text

"""Ports for programs that have to be told theirs: nobody else is given one of them meanwhile."""

import itertools
import random
import socket

_BEGIN, _END = 15_000, 32_000
"""Below the ports that systems give to connections and to who asks for any (from 32768 on Linux, 49152 elsewhere)."""
_candidates = itertools.cycle(random.SystemRandom().sample(range(_BEGIN, _END), _END - _BEGIN))


def free_port():
    """Return a port of 127.0.0.1 that nobody listens on, another one each time."""
    return next(filter(_is_free, _candidates))


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

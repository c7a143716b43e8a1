"""Asking a server that is not there yet, or does not know yet."""

import time


def answered(ask, expected=None, patience=300.0):
    """Return what `ask` answers, once it does so, and as expected where that is known; fail after so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            answer = ask()
        except OSError as error:
            answer = error
        if answer == expected or (expected is None and not isinstance(answer, OSError)):
            return answer
        assert time.monotonic() < deadline, f"{answer} instead of {expected}"
        time.sleep(0.05)

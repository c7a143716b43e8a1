"""The clock of deadlines: seconds since an arbitrary moment, never going back."""

import time
from typing import Final

now: Final = time.monotonic

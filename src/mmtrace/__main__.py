"""Lets `python -m mmtrace` be the command `mmtrace`."""

import sys

from mmtrace.cli import main

sys.exit(main())

"""Shapes: what requests, calls, messages and tasks look like, whichever library sends them."""

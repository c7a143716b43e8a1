"""Destinations of telemetry, one a file; loaded by name, because each brings a heavy library along."""

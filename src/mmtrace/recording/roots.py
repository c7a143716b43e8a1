"""A root that is not for the sampler to decide: a batch is sampled if any of the requests that it serves is."""

from typing import Final

from opentelemetry.context import create_key

ROOT_SAMPLED: Final = create_key("mmtrace-root-sampled")
"""Key of a context whose root span is sampled (True) or not (False) whatever the standard samplers say."""

"""Which headers a request gets: the context, where its library may carry it and its receiver may know it.

The option `carriers` turns off the headers of a library by its name, and turns on, as `baggage_to_model_apis`, baggage
for hosts that serve models to anybody, who get none unless that is asked for.
"""

import re
from collections.abc import Container
from typing import Final

from mmtrace.instrumenting import Context, inject, options

_MODEL_APIS: Final = re.compile(
    r"(?:^|\.)(?:api\.openai\.com|openai\.azure\.com|api\.anthropic\.com|openrouter\.ai"
    r"|api\.(?:mistral|cohere|perplexity|together|fireworks|groq|deepseek|x)\.(?:ai|com|xyz)"
    r"|(?:generativelanguage|aiplatform)\.googleapis\.com|(?:router|api-inference)\.huggingface\.co"
    r"|bedrock-runtime\.[a-z0-9-]+\.amazonaws\.com)$"
)


def headers_for(library: str, host: str, context: Context, present: Container[str]) -> dict[str, str]:
    """Return the headers that carry `context` to `host`, without those that are `present`: the caller's own stay."""
    chosen = options()
    if not chosen.carries(library):
        return {}
    carried: dict[str, str] = inject({}, context)
    if "traceparent" in present:
        carried.pop("tracestate", None)
    if _MODEL_APIS.search(host) and not chosen.carries("baggage_to_model_apis", default=False):
        carried.pop("baggage", None)
    return {name: value for name, value in carried.items() if name not in present}

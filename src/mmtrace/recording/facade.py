"""The one global tracer provider: it stays for good, and what stands behind it can be exchanged."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace

from mmtrace.recording.guard import report
from mmtrace.recording.parts import InstrumentationScope, scope_of
from mmtrace.recording.provider import TracerProvider
from mmtrace.recording.scoped import TracerWithBlocks
from mmtrace.recording.span import Span
from mmtrace.spans import AttributeValue

_set_in_api: Final = trace._set_tracer_provider


class FacadeTracer(TracerWithBlocks):
    """A tracer that a library may keep: its spans are always those of the provider behind the facade.

    `start_span` is the real tracer's own method, bound again whenever the provider changes, so that following costs
    nothing for a span.
    """

    def __init__(self, *scope: Any) -> None:
        self._scope_arguments: Final = scope
        self.provider: trace.TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()

    def follow(self, provider: trace.TracerProvider) -> None:
        """Start the spans of `provider` from now on."""
        if provider is self.provider:
            return
        try:
            self._tracer = provider.get_tracer(*self._scope_arguments)
        except Exception as error:
            report("get_tracer", f"mmtrace: {type(provider).__qualname__}.get_tracer failed: {error!r}", error)
            self._tracer = trace.NoOpTracer()
        self.provider = provider
        self.start_span = self._tracer.start_span  # type: ignore[method-assign]

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span of the provider behind the facade."""
        return self._tracer.start_span(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_tracer" not in vars(self):
            raise AttributeError(name)
        return getattr(self._tracer, name)


class Facade(trace.TracerProvider):
    """The global tracer provider, in front of ours, or of the application's as soon as it has set one.

    What else an application asks of a provider (`resource`, `add_span_processor`, `force_flush`, `shutdown`, ...) is
    answered by the one behind. The application's decision is final: what is put later waits in vain.
    """

    def __init__(self, application: trace.TracerProvider | None = None) -> None:
        self._tracers: Final[dict[InstrumentationScope, FacadeTracer]] = {}
        self._put: trace.TracerProvider = trace.NoOpTracerProvider()
        self._application = application

    @property
    def provider(self) -> trace.TracerProvider:
        """The provider that every span goes to."""
        return self._put if self._application is None else self._application

    @property
    def replaced_by_application(self) -> bool:
        """Whether the application has set a provider of its own."""
        return self._application is not None

    def put(self, provider: trace.TracerProvider | None) -> None:
        """Let `provider` record from now on, unless the application has set its own; None records nothing."""
        self._put = provider or trace.NoOpTracerProvider()
        self._follow()

    def take(self, provider: trace.TracerProvider) -> bool:
        """Let the application's `provider` stand behind the facade; only the first one, as the API promises."""
        if provider in (self, self._application) or isinstance(provider, trace.ProxyTracerProvider):
            return True
        if self._application is not None:
            return False
        self._application = provider
        self._follow()
        return True

    def _follow(self) -> None:
        for tracer in list(self._tracers.values()):
            tracer.follow(self.provider)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> trace.Tracer:
        """Return the tracer of a scope, which follows the provider behind the facade."""
        scope = instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        tracer = self._tracers.setdefault(scope_of(*scope), FacadeTracer(*scope))
        while tracer.provider is not self.provider:
            tracer.follow(self.provider)
        return tracer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_put" not in vars(self):
            raise AttributeError(name)
        return getattr(self.provider, name)

    def remove(self) -> None:
        """Give the API back the state that it would have without the facade."""
        if trace._TRACER_PROVIDER is not self:
            return
        trace._set_tracer_provider = _set_in_api
        trace._TRACER_PROVIDER = self._application
        trace._TRACER_PROVIDER_SET_ONCE._done = self.replaced_by_application

    @staticmethod
    def register_with_sdk() -> None:
        """Make `isinstance` hold with the SDK's TracerProvider and Span, for the facade and ours; imports the SDK."""
        from opentelemetry.sdk import trace as sdk

        sdk.TracerProvider.register(Facade)
        sdk.TracerProvider.register(TracerProvider)
        sdk.Span.register(Span)


def install() -> Facade:
    """Make the facade the global tracer provider, once, and return it.

    A provider that the application has set already, or sets later, goes behind it.
    """
    existing = trace.get_tracer_provider()
    if isinstance(existing, Facade):
        return existing
    facade = Facade(None if isinstance(existing, trace.ProxyTracerProvider) else existing)
    trace._set_tracer_provider = _set_tracer_provider
    trace._TRACER_PROVIDER = facade
    trace._TRACER_PROVIDER_SET_ONCE._done = True
    return facade


def _set_tracer_provider(tracer_provider: trace.TracerProvider, log: bool) -> None:  # noqa: FBT001
    """Stand in for the API's function of this name, which every way to set the global provider calls."""
    facade = trace._TRACER_PROVIDER
    taken = facade.take(tracer_provider) if isinstance(facade, Facade) else _set_in_api(tracer_provider, log)
    if taken is False and log:
        trace.logger.warning("The tracer provider is set already; %s was left out", type(tracer_provider).__name__)

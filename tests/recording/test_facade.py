import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span as StockSpan
from opentelemetry.sdk.trace import TracerProvider as StockProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from mmtrace.recording import Span, TracerProvider
from mmtrace.recording.facade import Facade, install


@pytest.fixture(autouse=True)
def _api_as_in_a_new_process(monkeypatch):
    before = trace._set_tracer_provider
    if isinstance(trace._TRACER_PROVIDER, Facade):
        trace._TRACER_PROVIDER.remove()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    yield
    if isinstance(trace._TRACER_PROVIDER, Facade):
        trace._TRACER_PROVIDER.remove()
    trace._set_tracer_provider = before


@pytest.fixture
def application():
    """A provider as an application sets one, and what it exports."""
    provider, exporter = StockProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.exported = lambda: [span.name for span in exporter.get_finished_spans()]
    return provider


def test_is_the_global_provider_once():
    facade = install()
    assert trace.get_tracer_provider() is facade is install()
    assert not facade.replaced_by_application


def test_records_nothing_before_a_provider_is_put():
    install()
    with trace.get_tracer("early").start_as_current_span("work") as span:
        assert not span.is_recording()


def test_tracers_handed_out_before_follow_the_provider(memory, remembering):
    from_the_api = trace.get_tracer("before the facade")
    facade = install()
    kept = trace.get_tracer("kept", "1", schema_url="https://schema", attributes={"a": 1})
    for current in (memory, remembering()):
        facade.put(current.provider)
        kept.start_span("kept").end()
        from_the_api.start_span("from the api").end()
        assert [span.name for span in current.spans] == ["kept", "from the api"]
        scope = current.spans[0].instrumentation_scope
        assert (scope.name, scope.version, scope.schema_url) == ("kept", "1", "https://schema")
        assert scope.attributes == {"a": 1}
    assert facade.provider is current.provider


def test_a_decorator_made_before_follows_the_provider(memory):
    facade = install()

    @trace.get_tracer("early").start_as_current_span("decorated")
    def work():
        return trace.get_current_span()

    facade.put(memory.provider)
    assert work() is memory.span


def test_a_scope_has_one_tracer():
    facade = install()
    assert facade.get_tracer("a", "1") is facade.get_tracer("a", "1")
    assert facade.get_tracer("a", "1") is not facade.get_tracer("a", "2")


def test_a_provider_that_the_application_sets_later_goes_behind(memory, application):
    facade = install()
    facade.put(memory.provider)
    ours = trace.get_tracer("ours")
    ours.start_span("before").end()
    trace.set_tracer_provider(application)
    ours.start_span("after").end()
    trace.get_tracer("theirs").start_span("theirs").end()
    assert trace.get_tracer_provider() is facade
    assert facade.replaced_by_application
    assert [span.name for span in memory.spans] == ["before"]
    assert application.exported() == ["after", "theirs"]


def test_a_provider_that_the_application_has_set_before_goes_behind(memory, application):
    trace.set_tracer_provider(application)
    facade = install()
    facade.put(memory.provider)
    trace.get_tracer("test").start_span("work").end()
    assert facade.provider is application and facade.replaced_by_application
    assert application.exported() == ["work"]
    assert memory.spans == ()


def test_the_applications_second_provider_is_refused_as_by_the_api(application, caplog):
    facade = install()
    trace.set_tracer_provider(application)
    trace.set_tracer_provider(application)
    assert not caplog.records
    trace.set_tracer_provider(StockProvider(shutdown_on_exit=False))
    assert facade.provider is application
    assert len(caplog.records) == 1


@pytest.mark.parametrize("given", ["itself", "the API's proxy"])
def test_setting_what_is_global_already_changes_nothing(memory, given, caplog):
    facade = install()
    facade.put(memory.provider)
    trace.set_tracer_provider(facade if given == "itself" else trace.ProxyTracerProvider())
    assert facade.provider is memory.provider
    assert not facade.replaced_by_application
    assert not caplog.records


def test_answers_for_the_provider_behind(memory, resource):
    facade, exporter = install(), InMemorySpanExporter()
    facade.put(memory.provider)
    assert facade.resource is resource
    facade.add_span_processor(SimpleSpanProcessor(exporter))
    facade.get_tracer("test").start_span("work").end()
    assert facade.force_flush(1000)
    facade.shutdown()
    assert len(exporter.get_finished_spans()) == 1
    assert facade.get_tracer("test").resource is resource
    assert not hasattr(facade, "no_such_thing") and not hasattr(facade.get_tracer("test"), "no_such_thing")


def test_is_a_provider_of_the_sdk_once_that_is_loaded(memory):
    facade = install()
    facade.register_with_sdk()
    assert isinstance(facade, StockProvider)
    assert isinstance(memory.provider, StockProvider)
    assert isinstance(memory.tracer.start_span("work"), StockSpan)
    assert isinstance(memory.tracer.start_span("work"), Span)


def test_removed_it_leaves_the_api_as_it_was(memory, application):
    facade = install()
    facade.put(memory.provider)
    facade.remove()
    assert type(trace.get_tracer_provider()) is trace.ProxyTracerProvider
    facade.remove()
    trace.set_tracer_provider(application)
    assert trace.get_tracer_provider() is application


def test_removed_it_leaves_the_applications_provider(application):
    facade = install()
    trace.set_tracer_provider(application)
    facade.remove()
    assert trace.get_tracer_provider() is application


def test_after_somebody_has_reset_the_api_it_is_out_of_the_way(application):
    install()
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    trace.set_tracer_provider(application)
    assert trace.get_tracer_provider() is application


def test_an_application_whose_provider_fails_records_nothing():
    class Broken(trace.TracerProvider):
        def get_tracer(self, *arguments, **named):
            raise RuntimeError("broken")

    install()
    trace.set_tracer_provider(Broken())
    with trace.get_tracer("test").start_as_current_span("work") as span:
        assert not span.is_recording()


def test_every_tracer_follows_however_the_threads_interleave(resource):
    facade = install()
    providers = [TracerProvider(resource) for _ in range(40)]
    tracers, done = [], threading.Event()

    def ask():
        number = 0
        while not done.is_set():
            tracers.append(facade.get_tracer(f"library {number % 300}"))
            number += 1

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for provider in providers:
        facade.put(provider)
    done.set()
    for thread in threads:
        thread.join()
    assert {tracer.provider for tracer in tracers} == {providers[-1]}

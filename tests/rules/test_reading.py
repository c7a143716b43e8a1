"""Objectives from YAML: what is read, and how a mistake is named."""

import inspect
import textwrap

import pytest

from mmtrace.cli import rules as command
from mmtrace.errors import ConfigurationError
from mmtrace.rules import ApiLimits, Limits, Model, Objectives, ProcessLimits, Seen, objectives_file, read
from mmtrace.rules.seen import Durations

SEEN = Seen(
    {Model("reranker", "bge-reranker"): Durations((0.25, 0.4, 1.0), (0.0, 0.0, 0.0, 0.0))},
    {Model("gateway", "gpt-5"): Durations((5.12, 10.24), (1.0, 2.0, 2.0))},
)


def refusal(text, seen=None):
    with pytest.raises(ConfigurationError) as raised:
        read(textwrap.dedent(text).strip(), "objectives.yml", seen)
    message = str(raised.value)
    assert "\n" not in message
    return message


def example_of_the_help():
    text = inspect.getdoc(command)
    start, middle = text.index("  minimum_rate:"), text.index("\nand names services")
    end = text.index("\n`latency` and `gc_pause`")
    return textwrap.dedent(text[start:middle]), textwrap.dedent(text[text.index("  services:") : end])


# --- what is read -----------------------------------------------------------------------------------------------------


def test_the_help_shows_every_key_with_its_default():
    defaults, _ = example_of_the_help()
    assert read(defaults, "help") == Objectives()
    for limits in (Limits, ApiLimits, ProcessLimits, Objectives):
        keys = [key for key in inspect.signature(limits).parameters if key not in SHOWN_OTHERWISE]
        assert [key for key in keys if f"{key}: " not in defaults] == []


SHOWN_OTHERWISE = {"process", "model_defaults", "api_defaults", "models", "api_models"}


def test_the_services_of_the_help_are_read():
    _, services = example_of_the_help()
    assert read(services, "help") == Objectives(
        models={Model("reranker", "bge-reranker"): Limits(latency=0.25, target=0.99)},
        api_models={Model("gateway", "gpt-5"): ApiLimits(latency=5.12)},
    )


def test_a_model_takes_what_it_does_not_state_from_the_defaults_of_the_file():
    made = read("{defaults: {models: {p95: 1}}, services: {s: {models: {m: {p99: 2}, n: }}}}", "f")
    assert made.models == {Model("s", "m"): Limits(p95=1, p99=2), Model("s", "n"): Limits(p95=1)}
    assert made.model_defaults == Limits(p95=1)


def test_a_bound_that_the_services_add_may_be_a_threshold():
    made = read("{latency_buckets: [0.4], defaults: {models: {latency: 0.4}}}", "f")
    assert (made.latency_buckets, made.model_defaults.latency) == ((0.4,), 0.4)


def test_what_is_written_is_read_again():
    objectives = Objectives(
        latency_buckets=(0.4,),
        models={Model("a: b", "m"): Limits(latency=0.4), Model("a: b", "7"): Limits(), Model("s", "m"): Limits(p99=9)},
        api_models={Model("s", "gpt-5"): ApiLimits(latency=5.12)},
    )
    assert read(objectives_file(objectives), "f") == objectives


# --- what is refused --------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one():
    message = refusal("""
        minimum_rate: 1
        service:
          s: {models: {m: }}
    """)
    assert message.startswith("objectives.yml:2: there is no key 'service'; did you mean 'services'?")


def test_an_unknown_limit_is_named_with_its_line_and_the_nearest_one():
    message = refusal("""
        services:
          s:
            models:
              m: {latency: 0.25,
                  p90: 1}
    """)
    assert message.startswith("objectives.yml:5: there is no limit 'p90'; did you mean 'p9")


@pytest.mark.parametrize("service", ["", " {}", " {models: }", " {models: {}, gen_ai: {}}"])
def test_a_service_without_a_model_is_named_with_its_line(service):
    message = refusal(f"services:\n  a: {{models: {{m: }}}}\n  reranker:{service}")
    assert message.startswith("objectives.yml:3: service 'reranker' names no model; name one under `models`")


def test_a_service_without_a_model_is_told_which_ones_prometheus_has_seen():
    assert "name one (bge-reranker) under" in refusal("services: {reranker: }", SEEN)


def test_a_threshold_that_is_no_bucket_is_named_with_the_nearest_ones_and_with_the_setting_that_adds_it():
    message = refusal("""
        services:
          reranker:
            models:
              bge:
                latency: 0.4
    """)
    assert message.startswith("objectives.yml:5: latency 0.4 is no bound of the histogram's buckets")
    assert "the nearest are 0.25 and 0.5" in message
    assert "MMTRACE_LATENCY_BUCKETS=0.4" in message
    assert "latency_buckets: [0.4]" in message


def test_the_buckets_of_apis_are_those_of_the_genai_conventions():
    message = refusal("defaults: {gen_ai: {latency: 2.5}}")
    assert message.endswith("latency 2.5 is no bound of the histogram's buckets; the nearest are 1.28 and 2.56")


def test_a_longest_pause_that_is_no_bucket_is_refused():
    assert "gc_pause 0.2 is no bound" in refusal("processes: {gc_pause: 0.2}")


def test_a_model_that_prometheus_has_not_seen_is_named_with_the_nearest_one():
    message = refusal("services:\n  reranker:\n    models:\n      bge-rerankr:\n        p95: 1", SEEN)
    assert message.startswith(
        "objectives.yml:4: Prometheus has seen no model 'bge-rerankr'; did you mean 'bge-reranker'"
    )


def test_a_service_that_prometheus_has_not_seen_is_named_with_the_nearest_one():
    message = refusal("services:\n  rerank:\n    models: {bge-reranker: }", SEEN)
    assert "Prometheus has seen no service 'rerank'; did you mean 'reranker'" in message


def test_with_prometheus_the_buckets_are_those_that_it_has_seen():
    assert read("services: {reranker: {models: {bge-reranker: {latency: 0.4}}}}", "f", SEEN)
    assert "the nearest are 0.25 and 0.4" in refusal(
        "services: {reranker: {models: {bge-reranker: {latency: 0.3}}}}", SEEN
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f:1: it is empty; keys: minimum_rate"),
        ("- a", "f:1: a mapping is needed here (keys: minimum_rate"),
        ("services: [a]", "f:1: a mapping is needed here (each service with a colon after its name)"),
        ("services:\n  a: b", "f:2: a mapping is needed here (keys: models, gen_ai)"),
        ("services:\n  a: {models: {m: 0.25}}", "f:2: a mapping is needed here (keys: latency, target"),
        ("a: b: c", "f:1: this is no YAML: mapping values are not allowed here"),
        ("a: 'b", "f:1: this is no YAML: found unexpected end of stream"),
        ("a: \x00", "f is no YAML: "),
        ("minimum_rate: 1\nminimum_rate: 2", "f:2: key 'minimum_rate' stands here twice"),
        ("minimum_rate: often", "f:1: minimum_rate is a number above 0, not 'often'"),
        ("minimum_rate: [1]", "f:1: minimum_rate is a number above 0, not a list or a mapping"),
        ("defaults: {models: {target: 95}}", "f:1: target is a share between 0 and 1, not 95"),
        ("defaults: {models: {p95: -1}}", "f:1: p95 is a number above 0, not '-1'"),
        ("defaults: {models: {p95: .nan}}", "f:1: p95 is a number above 0, not '.nan'"),
        ("latency_buckets: 0.4", "f:1: latency_buckets is a list of seconds"),
        ("latency_buckets: [0]", "f:1: a bound of latency_buckets is a number above 0, not '0'"),
        ("? [a]\n: b", "f:1: there is no key ''"),
        ("services:\n  '': {models: {m: }}", "f:2: a service without a name"),
    ],
)
def test_every_other_mistake_is_named_with_its_line_too(text, told):
    with pytest.raises(ConfigurationError) as raised:
        read(text, "f")
    assert str(raised.value).startswith(told)

"""On the real library: what one user's call shows, and that nobody else can tell the difference."""

import concurrent.futures
import multiprocessing
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from opentelemetry.trace import StatusCode
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import mmtrace
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.telemetry import ContentPolicy
from mmtrace.testing import InstrumentationCases, instrumented, record_spans
from mmtrace_instrumentation import futures, sklearn
from mmtrace_instrumentation import threading as threads
from mmtrace_instrumentation.shapes import model

X, Y = make_classification(40, 4, random_state=0)


@pytest.fixture
def traced(recorded):
    with instrumented(sklearn.instrumentation):
        yield recorded


@pytest.fixture(scope="module")
def classifier():
    return LogisticRegression().fit(X, Y)


def spans_of(traced):
    return [(span.name, span.attributes) for span in traced.take()]


def calls():
    return sum(
        sum(reading.counts) for reading in telemetry.metrics.read() if reading.line.metric is names.CALL_DURATION
    )


class TestKit(InstrumentationCases):
    instrumentation = sklearn.instrumentation

    def use(self):
        pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(4, n_jobs=2, random_state=0)).fit(X, Y)
        scaled = pipeline[:1].transform(X)
        return pipeline.predict(X).tolist(), pipeline.predict_proba(X).tolist(), scaled.tolist()

    def misuse(self):
        StandardScaler().transform(X)


def test_a_prediction_is_a_call_of_the_model_that_its_class_names(traced, classifier):
    classifier.predict(X)
    ((name, attributes),) = spans_of(traced)
    assert name == "classify LogisticRegression"
    assert attributes == {
        names.MODEL_NAME: "LogisticRegression",
        names.MODEL_TASK: "classify",
        names.MODEL_FRAMEWORK: "sklearn",
        names.BATCH_SIZE: 40,
        names.INPUT_SHAPES: ("40x4",),
        names.INPUT_DTYPES: ("float64",),
        names.INPUT_BYTES: X.nbytes,
        names.OUTCOME: "ok",
        names.EXEMPLAR: True,
    }
    assert calls() == 1


@pytest.mark.parametrize(
    ("estimator", "method", "expected"),
    [
        (LogisticRegression(), "predict", "classify LogisticRegression"),
        (LogisticRegression(), "predict_proba", "classify LogisticRegression"),
        (LogisticRegression(), "predict_log_proba", "classify LogisticRegression"),
        (LogisticRegression(), "decision_function", "classify LogisticRegression"),
        (LinearRegression(), "predict", "regress LinearRegression"),
        (KMeans(2, n_init=1), "predict", "infer KMeans"),
        (KMeans(2, n_init=1), "transform", "transform KMeans"),
        (StandardScaler(), "transform", "transform StandardScaler"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "predict_proba", "classify Pipeline"),
        (make_pipeline(StandardScaler(), LinearRegression()), "predict", "regress Pipeline"),
        (SVC(), "decision_function", "classify SVC"),
        (GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2), "predict", "classify GridSearchCV"),
        (
            StackingClassifier([("a", DecisionTreeClassifier()), ("b", LogisticRegression())], cv=2),
            "predict",
            "classify StackingClassifier",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_the_caller_calls_shows_once_and_its_fit_not_at_all(traced, estimator, method, expected):
    fitted = clone(estimator).fit(X, Y)
    assert traced.take() == []
    getattr(fitted, method)(X)
    assert traced.one().name == expected
    assert calls() == 1


@pytest.mark.parametrize(
    "train",
    [
        lambda: StandardScaler().fit_transform(X),
        lambda: KMeans(2, n_init=1).fit_predict(X),
        lambda: StandardScaler().partial_fit(X),
        lambda: make_pipeline(StandardScaler(), KMeans(2, n_init=1)).fit_predict(X),
        lambda: GridSearchCV(RandomForestClassifier(2, n_jobs=2), {"max_depth": [1, 2]}, cv=2).fit(X, Y),
        lambda: StackingClassifier([("a", LogisticRegression())], cv=2).fit(X, Y),
    ],
)
def test_training_serves_nobody_and_is_silent(traced, train):
    train()
    assert traced.take() == []
    assert calls() == 0


def test_training_silences_scikit_learn_alone(traced):
    class Asking(BaseEstimator):
        def fit(self, X, y=None):
            with mmtrace.span("ask for labels"), mmtrace.model_call("labeller"):
                return self

    Asking().fit(X)
    assert [span.name for span in traced.take()] == ["infer labeller", "ask for labels"]


def test_the_threads_of_an_ensemble_work_for_its_call(traced):
    class Observed(DecisionTreeClassifier):
        def predict_proba(self, X, check_input=True):
            with mmtrace.span(f"tree in {threading.current_thread().name}"):
                return super().predict_proba(X, check_input)

    forest = RandomForestClassifier(100, n_jobs=2, random_state=0).fit(X, Y)
    for tree in forest.estimators_:
        tree.__class__ = Observed
    forest.predict(X)
    trace = traced.trace()
    assert trace.root.name == "classify RandomForestClassifier"
    inner = trace.children(trace.root)
    assert len(inner) == 100
    assert len(trace.spans) == 101
    assert {span.name for span in inner} != {"tree in MainThread"}
    assert calls() == 1


@pytest.fixture
def processes():
    """Two worker processes of joblib, which would go on waiting for work."""
    yield 2
    get_reusable_executor().shutdown()


def test_the_processes_of_an_ensemble_work_for_its_call(traced, processes):
    union = FeatureUnion([("a", StandardScaler()), ("b", Telling())], n_jobs=processes).fit(X)
    with mmtrace.span("request") as span:
        told = union.transform(X)[:, -2:]
    assert [given.name for given in traced.take()] == ["transform FeatureUnion", "request"]
    trace_id = span.get_span_context().trace_id
    assert {(int(high) << 32) + int(low) for high, low in told} == {trace_id & ((1 << 64) - 1)}


class CallingInside(ClassifierMixin, BaseEstimator):
    """Gives its work away as a library does, pickled as for another process."""

    def __init__(self, inner):
        self.inner = inner

    def predict(self, X):
        work = model.part_of_call("sklearn")(self.inner.predict)
        return pickle.loads(pickle.dumps(work))(X)


def test_a_part_of_a_call_is_quiet_in_another_process_that_is_traced(traced, classifier):
    CallingInside(classifier).predict(X)
    assert traced.one().name == "classify CallingInside"
    pickle.loads(pickle.dumps(model.part_of_call("sklearn")(classifier.predict)))(X)
    assert traced.one().name == "classify LogisticRegression"


class Telling(TransformerMixin, BaseEstimator):
    """Tells the trace id, its lower half, of the context in which it works."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        from opentelemetry.trace import get_current_span

        low = get_current_span().get_span_context().trace_id & ((1 << 64) - 1)
        return np.array([[low >> 32, low & 0xFFFFFFFF]] * len(X), dtype=np.float64)


def test_an_error_is_recorded_and_reaches_the_caller_as_it_is(traced):
    with pytest.raises(NotFittedError) as raised:
        StandardScaler().transform(X)
    span = traced.one()
    assert span.status is StatusCode.ERROR
    assert span.attributes[names.OUTCOME] == "error"
    assert span.attributes[names.ERROR_TYPE] == "sklearn.exceptions.NotFittedError"
    assert "mmtrace" not in "".join(map(str, raised.value.args))


def test_a_model_without_a_method_is_still_without_it(traced):
    assert not hasattr(SVC(), "predict_proba")
    assert hasattr(SVC(probability=True), "predict_proba")
    assert not hasattr(make_pipeline(StandardScaler()), "predict")
    assert hasattr(make_pipeline(StandardScaler(), LogisticRegression()), "predict")
    assert hasattr(Pipeline, "predict")


def test_a_model_of_the_users_own_is_traced_whenever_its_class_is_made(recorded):
    class Before(ClassifierMixin, BaseEstimator):
        def predict(self, X):
            return [0] * len(X)

    class Mixin:
        def transform(self, X):
            return X

    with instrumented(sklearn.instrumentation):

        class After(Mixin, TransformerMixin, BaseEstimator):
            pass

        Before().predict([1, 2, 3])
        After().transform(X=X)
    assert [span.name for span in recorded.take()] == ["classify Before", "transform After"]
    After().transform(X)
    Before().predict([1])
    assert recorded.take() == []


def test_rows_are_counted_whatever_holds_them(traced, classifier):
    import scipy.sparse

    classifier.predict(X.tolist())
    classifier.predict(scipy.sparse.csr_matrix(X))
    classifier.predict(X=X[:7])
    found = [(span.attributes[names.BATCH_SIZE], span.attributes[names.INPUT_SHAPES]) for span in traced.take()]
    assert found == [(40, ("40",)), (40, ("40x4",)), (7, ("7x4",))]


def test_a_call_inside_a_model_of_the_users_own_naming_counts_for_that_one(traced, classifier):
    with mmtrace.model_call("fraud", task="classify"):
        classifier.predict(X)
    inner, outer = traced.take()
    assert (inner.name, inner.parent_span_id) == ("classify LogisticRegression", outer.span_id)
    assert calls() == 1


def test_calls_of_several_threads_are_calls_of_their_own(recorded, classifier):
    with instrumented(sklearn.instrumentation, futures.instrumentation, threads.instrumentation):
        pool = concurrent.futures.ThreadPoolExecutor(2)
        with mmtrace.span("request"), pool:
            list(pool.map(classifier.predict, [X] * 6))
    trace = recorded.trace()
    assert [span.name for span in trace.children(trace.root)] == ["classify LogisticRegression"] * 6
    assert calls() == 6


def test_the_values_are_recorded_only_when_they_are_asked_for(classifier):
    with record_spans(content=ContentPolicy(on_spans=True)) as recorded, instrumented(sklearn.instrumentation):
        answer = classifier.predict(X[:2])
        attributes = recorded.one().attributes
    assert str(X[0, 0])[:5] in attributes[names.INPUT_CONTENT]
    assert attributes[names.OUTPUT_CONTENT] == f'"{answer}"'


def test_pickles_of_models_carry_no_trace_of_the_patch(traced, classifier):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    pickled = pickle.dumps(pipeline)
    pipeline.predict(X)
    assert pickle.dumps(pipeline) == pickled
    assert b"mmtrace" not in pickled
    assert b"wrapt" not in pickled
    assert pickle.loads(pickled).predict(X).tolist() == pipeline.predict(X).tolist()
    assert len(traced.take()) == 3


def test_methods_can_be_sent_to_processes_that_know_nothing_of_it(traced, classifier):
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for method in (classifier.predict, pipeline.predict_proba):
            assert pool.submit(method, X).result().tolist() == method(X).tolist()
    assert len(traced.take()) == 2


def test_it_adds_no_warning(traced):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RandomForestClassifier(4, n_jobs=2).fit(X, Y).predict(X)
    traced.take()


def test_it_works_on_whatever_is_imported_after_it():
    program = """
        from mmtrace.testing import instrumented, record_spans
        from mmtrace_instrumentation import sklearn
        with record_spans() as recorded, instrumented(sklearn.instrumentation) as engine:
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler
            from sklearn.linear_model import LogisticRegression
            from sklearn.utils.estimator_checks import check_estimators_pickle
            X, y = [[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1]
            model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
            model.predict(X)
            model[:1].transform(X)
            LogisticRegression().fit(X, y).predict(X)
            StandardScaler().fit(X).transform(X)
            print([span.name for span in recorded.take()])
            print({row.state for row in engine.rows()})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=300, check=True
    )
    names_, states = done.stdout.splitlines()
    assert eval(names_) == [
        "classify Pipeline", "transform Pipeline", "classify LogisticRegression", "transform StandardScaler",
    ]  # fmt: skip
    assert states == "{'patched'}"


@pytest.mark.slow
def test_the_librarys_own_checks_find_nothing_different(traced):
    from sklearn.utils.estimator_checks import check_estimator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(LogisticRegression(), on_skip=None)
    traced.take()

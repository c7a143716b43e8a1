"""What `shutdown` does with its time."""

from dataclasses import dataclass, field

from mmtrace._configure import Parts
from mmtrace._metering import Metering
from mmtrace.recording import TracerProvider
from mmtrace.settings import Settings
from mmtrace.transport import FlushResult


@dataclass
class Timed:
    """A pipeline that says how long it was given."""

    given: list = field(default_factory=list)

    def shutdown(self, timeout):
        self.given.append(timeout)
        return FlushResult()


class Handing(Metering):
    """Metrics whose last flush came to this result."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def hand_over(self, flush):
        return self.result


def seconds_left(result):
    pipeline = Timed()
    parts = Parts(Settings.load({}), TracerProvider(), pipelines=(pipeline,), metering=Handing(result))
    parts.shutdown(60)
    return pipeline.given[0]


def test_a_receiver_that_did_not_answer_the_last_flush_is_not_waited_for_again():
    assert seconds_left(FlushResult(spooled=1500)) <= 0.5


def test_a_receiver_that_answered_has_the_rest_of_the_time():
    assert seconds_left(FlushResult(exported=1, spooled=1500)) > 30
    assert seconds_left(FlushResult()) > 30

from celery import signals
from celery.concurrency.prefork import process_destructor

from mmtrace.testing import InstrumentationCases
from mmtrace_instrumentation.celery import instrumentation


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        heard = []

        def shutdown(pid, exitcode, **more):
            heard.append((pid, exitcode))

        signals.worker_process_shutdown.connect(shutdown)
        process_destructor(1, 0)
        signals.worker_process_shutdown.disconnect(shutdown)
        return heard

"""Receivers that drip, stall, reset and close: one deadline for all, and a second try only where it is due."""

import time

import pytest

from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.transport import ACCEPTED, Signal
from rude import Rude, read_request, reset

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def sender(opened):
    """Makes a function that sends a batch to a receiver and tells the outcome and the seconds that it took."""

    def make(receiver, timeout=0.4, body=b"x", **options):
        made = opened(OtlpHttp({Signal.TRACES: Target(f"{receiver.url}/v1/traces", **options)}))

        def send():
            begin = time.monotonic()
            outcome = made.export(Signal.TRACES, body, 1, timeout)
            return outcome, time.monotonic() - begin

        return send

    return make


def drip(connection, data, pause=0.02):
    read_request(connection)
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(pause)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n" + b"X-Filler: and so on\r\n" * 20, b"HTTP/1.1 503 No\r\nContent-Length: 999\r\n\r\n" * 20],
)
def test_a_receiver_that_answers_byte_by_byte_has_one_deadline_in_all(sender, answer):
    with Rude(lambda connection: drip(connection, answer)) as receiver:
        outcome, seconds = sender(receiver)()
    assert outcome.kind == "retry"
    assert "no answer within 0.4 seconds" in outcome.message
    assert seconds < 2


def test_a_receiver_that_drips_but_ends_in_time_is_heard(sender):
    with Rude(lambda connection: drip(connection, OK, pause=0.001)) as receiver:
        assert sender(receiver, timeout=5)()[0] == ACCEPTED


def test_a_receiver_that_reads_nothing_of_a_large_request_is_left_at_the_deadline(sender):
    with Rude(lambda _: time.sleep(1.5)) as receiver:
        outcome, seconds = sender(receiver, body=bytes(8 << 20))()
        assert (outcome.kind, seconds < 1.4) == ("retry", True)


@pytest.mark.parametrize("rest", [b"", b"\x0a"])
def test_a_success_whose_body_breaks_off_is_a_success(sender, rest):
    def serve(connection):
        read_request(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 40\r\n\r\n" + rest
        )

    with Rude(serve) as receiver:
        assert sender(receiver)()[0] == ACCEPTED


def test_a_refusal_whose_body_breaks_off_is_still_a_refusal(sender):
    def serve(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 40\r\n\r\nno")

    with Rude(serve) as receiver:
        assert sender(receiver)()[0].kind == "rejected"


def test_a_body_that_never_ends_is_not_read_for_ever(sender):
    def serve(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with Rude(serve) as receiver:
        outcome, seconds = sender(receiver)()
    assert (outcome.kind, seconds < 2) == ("rejected", True)


@pytest.mark.parametrize("end", [reset, lambda connection: connection.close()], ids=["reset", "closed"])
def test_a_connection_that_was_closed_while_idle_is_replaced_at_once(sender, end):
    """The receiver closes when the next request is on its way, so that nobody could have known."""

    def serve(connection):
        read_request(connection)
        connection.sendall(OK)
        if receiver.connections == 1:
            connection.recv(1)
            end(connection)

    with Rude(serve) as receiver:
        send = sender(receiver, timeout=5)
        assert [send()[0] for _ in range(2)] == [ACCEPTED] * 2
        assert receiver.connections == 2


@pytest.mark.parametrize("end", [reset, lambda connection: connection.close()], ids=["reset", "closed"])
def test_a_new_connection_that_breaks_is_left_to_the_pauses_between_attempts(sender, end):
    def serve(connection):
        connection.recv(10)
        end(connection)

    with Rude(serve) as receiver:
        outcome, _ = sender(receiver, timeout=5)()
        assert receiver.connections == 1
    assert (outcome.kind, "the connection broke" in outcome.message) == ("retry", True)


def test_a_reset_in_the_middle_of_the_answer_is_tried_again(sender):
    def serve(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 2")
        reset(connection)

    with Rude(serve) as receiver:
        assert sender(receiver)()[0].kind == "retry"

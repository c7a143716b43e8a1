"""The narrator: a small language model that takes its work from a queue and streams its words back.

The queue is a `multiprocessing` manager: two processes and no broker. It has no headers, so that the context travels
in the message, written by `mmtrace.inject` and read by `mmtrace.attach`.
"""

import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing.managers import BaseManager
from queue import Queue
from typing import Any

import mmtrace

AUTHKEY = b"mmtrace-demo"
END = None
_CORPUS = """
the reader saw a {digit} and the checker agrees so this is a {digit} .
this is a {digit} drawn with a steady hand and the checker agrees .
this looks like a {digit} to the reader and the checker is almost sure .
the checker is almost sure that this is a {digit} drawn in a hurry .
a {digit} drawn in a hurry still looks like a {digit} to the reader .
the reader is sure and the checker agrees that a {digit} was drawn here .
"""


class WordModel:
    """A trigram model: the next word depends on the last two, with the frequencies of its corpus."""

    def __init__(self, corpus: str) -> None:
        self._followers: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for line in filter(None, corpus.splitlines()):
            words = ["", "", *line.split()]
            for first, second, third in zip(words, words[1:], words[2:], strict=False):
                self._followers[first, second].append(third)

    def generate(self, limit: int = 24) -> Iterator[str]:
        """Yield words until the sentence ends or `limit` is reached."""
        state = ("", "")
        for _ in range(limit):
            word = random.choice(self._followers[state])  # noqa: S311  # a language model, not a secret
            yield word
            if word == ".":
                return
            state = (state[1], word)


class Narrator:
    """Tells in words what the other models found."""

    def __init__(self) -> None:
        self._model = WordModel(_CORPUS)

    @mmtrace.model("digit-narrator", version="0.2", task="generate")
    def narrate(self, digit: int) -> Iterator[str]:
        """Yield the words of one sentence about `digit`, a few milliseconds apart."""
        for word in self._model.generate():
            time.sleep(0.003)
            yield word.format(digit=digit)


class Post(BaseManager):
    """The queue of requests, and one queue of words for each request that is being answered."""


class PostOffice:
    """What lies behind `Post` in the narrator's process."""

    def __init__(self) -> None:
        self.requests: Queue[dict[str, Any]] = Queue()
        self._replies: defaultdict[str, Queue[str | None]] = defaultdict(Queue)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a request."""
        self._replies[message["id"]] = Queue()
        self.requests.put(message)

    def reply(self, key: str, word: str | None) -> None:
        """Queue the next word of an answer; None ends it."""
        self._replies[key].put(word)

    def words(self, key: str) -> list[str | None]:
        """Return the words of an answer that are there, at least one."""
        replies = self._replies[key]
        words = [replies.get(timeout=30)]
        while not replies.empty():
            words.append(replies.get())
        if words[-1] is END:
            del self._replies[key]
        return words


class NarratorClient:
    """The gateway's side of the queue."""

    def __init__(self, address: tuple[str, int]) -> None:
        Post.register("office")
        self._post = Post(address, AUTHKEY)
        self._post.connect()
        self._office = self._post.office()  # type: ignore[attr-defined]  # registered by name

    def narrate(self, digit: int) -> Iterator[str]:
        """Yield the narrator's words as they come."""
        key = uuid.uuid4().hex
        self._office.send({"id": key, "digit": digit, "context": mmtrace.inject({})})
        return self._words(key)

    def _words(self, key: str) -> Iterator[str]:
        while True:
            for word in self._office.words(key):
                if word is END:
                    return
                yield f"{word} "


def serve(address: tuple[str, int]) -> None:
    """Answer requests from the queue on `address` until the process is stopped."""
    office, narrator = PostOffice(), Narrator()
    Post.register("office", callable=lambda: office)
    server = Post(address, AUTHKEY).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    while True:
        message = office.requests.get()
        with mmtrace.attach(message["context"]):
            for word in narrator.narrate(message["digit"]):
                office.reply(message["id"], word)
        office.reply(message["id"], END)


if __name__ == "__main__":
    mmtrace.configure(service="digit-narrator")
    mmtrace.instrument()
    serve(("127.0.0.1", int(os.environ.get("NARRATOR_PORT", "50052"))))

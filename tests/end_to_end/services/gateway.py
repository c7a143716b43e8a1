"""A gateway on FastAPI that asks models behind HTTP, gRPC, a queue and a pool of processes, each in several ways."""

import asyncio
import json
import multiprocessing
import os
import uuid
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import grpc
import httpx
import redis
import requests
import scaling
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

CLASSIFY = f"http://127.0.0.1:{os.environ['CLASSIFIER_PORT']}/classify"
EMBEDDER = f"127.0.0.1:{os.environ['EMBEDDER_PORT']}"
REDIS = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
threads = ThreadPoolExecutor(4)
processes = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
channel = grpc.insecure_channel(EMBEDDER)
queue = redis.Redis.from_url(REDIS)


@asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient() as app.state.http, grpc.aio.insecure_channel(EMBEDDER) as app.state.channel:
        yield
    threads.shutdown()
    processes.shutdown()
    channel.close()


app = FastAPI(lifespan=lifespan)


def method(of, name="Embed"):
    make = of.unary_unary if name == "Embed" else of.unary_stream
    return make(f"/models.Embedder/{name}", request_serializer=json_bytes, response_deserializer=json.loads)


def json_bytes(value):
    return json.dumps(value).encode()


def classify(value):
    return httpx.post(CLASSIFY, json=[value]).json()


@app.get("/blocking/{value}")
def blocking(value: float):
    with requests.Session() as session:
        return session.post(CLASSIFY, json=[value]).json()


@app.get("/threads/{value}")
def in_threads(value: float):
    return [*threads.map(classify, [value, -value]), threads.submit(method(channel), [value]).result()]


@app.get("/awaiting/{value}")
async def awaiting(value: float):
    answer, embedding = await asyncio.gather(
        app.state.http.post(CLASSIFY, json=[value]), method(app.state.channel)([value])
    )
    return answer.json() + embedding


@app.get("/executors/{value}")
async def in_executors(value: float):
    loop = asyncio.get_running_loop()
    return [
        await asyncio.to_thread(classify, value),
        await loop.run_in_executor(None, method(channel), [value]),
        await loop.run_in_executor(threads, partial(classify, value)),
        await loop.run_in_executor(processes, scaling.scale, [value]),
    ]


@app.get("/streaming/{value}")
async def streaming(value: float):
    return StreamingResponse(stream(value), media_type="text/plain")


async def stream(value):
    async for part in method(app.state.channel, "Stream")([value]):
        answer = await app.state.http.post(CLASSIFY, json=part)
        yield f"{answer.json()} "


@app.get("/queued/{value}")
def queued(value: float):
    reply = str(uuid.uuid4())
    queue.xadd("work", {"value": value, "reply": reply})
    return json.loads(queue.blpop([reply], timeout=60)[1])


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["GATEWAY_PORT"]), log_level="warning")

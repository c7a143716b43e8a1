"""A classifier of scikit-learn behind Starlette; its port is uvicorn's to know."""

from sklearn.linear_model import LogisticRegression
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

model = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])


async def classify(request):
    values = await request.json()
    return JSONResponse((await run_in_threadpool(model.predict, [values])).tolist())


app = Starlette(routes=[Route("/classify", classify, methods=["POST"])])

"""A model service that knows nothing of mmtrace: `mmtrace run -m uvicorn digits:app` traces it."""

import logging

from fastapi import FastAPI
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

log = logging.getLogger("digits")
images, labels = load_digits(return_X_y=True)
model = RandomForestClassifier(n_estimators=200, random_state=0).fit(images, labels)
app = FastAPI()


@app.get("/digits/{number}")
def read(number: int) -> dict[str, int]:
    """Read one of the sample images."""
    found = int(model.predict(images[number % len(images)].reshape(1, -1))[0])
    log.info("image %d shows %d", number, found)
    return {"shows": found}


@app.get("/healthz")
def health() -> dict[str, str]:
    """Say that the model is loaded."""
    return {"status": "ok"}

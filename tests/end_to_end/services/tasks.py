"""Tasks of Celery over a folder of files."""

import os

from celery import Celery
from scaling import scale

FOLDER = os.environ["FOLDER"]
app = Celery("tasks", broker="filesystem://", backend=f"file://{FOLDER}")
app.conf.broker_transport_options = {
    "data_folder_in": FOLDER,
    "data_folder_out": FOLDER,
    "control_folder": f"{FOLDER}/control",
}


@app.task
def work(value):
    return scale([value])


if __name__ == "__main__":
    print([work.delay(value).get(timeout=250) for value in range(3)])  # noqa: T201

"""gevent in a program that mmtrace has loaded urllib3 into before."""

import subprocess
import sys
from pathlib import Path

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))

TLS = """
from gevent import monkey
monkey.patch_all()
import ssl, urllib3
context = urllib3.util.ssl_.create_urllib3_context()
print(type(context) is ssl.SSLContext is urllib3.util.SSLContext)
"""


def test_tls_of_the_application_works_as_if_gevent_had_come_first():
    command = [MMTRACE, "run", "--traces-exporter", "none", "--metrics-exporter", "none", "python", "-c", TLS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")

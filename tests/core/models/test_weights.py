"""Weights that many processes of one machine ask for at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seraser_core.models import open_clip_models
from seraser_core.open_clip_tables import table

CONTENT = bytes(range(256)) * 4096
WAIT_S = 60
_ASK = "import sys; from seraser_core.models.weights import *; print(local_weights(sys.argv[1]))"


class Web:
    """A web server with one file.

    Attributes:
        url: Of the file.
        looked: Released for every look at the file.
        asked: Released for every request of its content.
        slow: While it is clear, no content is sent.
        fetches: Number of such requests.
    """

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}/weights.safetensors"
        self.looked, self.asked = threading.Semaphore(0), threading.Semaphore(0)
        self.slow = threading.Event()
        self.slow.set()
        self.fetches = 0


@pytest.fixture
def web():
    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.begin()
            web.looked.release()

        def do_GET(self):
            web.fetches += 1
            web.asked.release()
            assert web.slow.wait(WAIT_S)
            self.begin()
            self.wfile.write(CONTENT)

        def begin(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.send_header("ETag", '"one"')
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        web = Web(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield web
        server.shutdown()


def test_processes_fetch_once_and_wait_for_no_dead_one(web, tmp_path):
    environment = {**os.environ, "SERASER_CACHE": str(tmp_path)}

    def ask():
        command = [sys.executable, "-c", _ASK, web.url]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    web.slow.clear()
    with ask() as first:
        assert web.asked.acquire(timeout=WAIT_S)
        others = [ask() for _ in range(4)]
        for _ in range(5):
            assert web.looked.acquire(timeout=WAIT_S)
        first.kill()
    web.slow.set()
    paths = {Path(one.communicate(timeout=WAIT_S)[0].strip()) for one in others}
    assert [path.read_bytes() for path in paths] == [CONTENT]
    assert web.fetches == 2, "by the first one, and once for all others"


def test_weights_of_a_tag_that_come_from_a_url_are_fetched_once(web, tmp_path, monkeypatch):
    described = {"url": web.url}
    monkeypatch.setattr(table("pretrained"), "get_pretrained_cfg", lambda *_: described)
    monkeypatch.setenv("HOME", str(tmp_path))
    web.slow.clear()
    with ThreadPoolExecutor(4) as pool:
        given = [pool.submit(open_clip_models._fetch, "RN50", "any", described) for _ in range(4)]
        assert web.asked.acquire(timeout=WAIT_S)
        web.slow.set()
        files = {Path(one.result(WAIT_S)) for one in given}
    assert [file.read_bytes() for file in files] == [CONTENT]
    assert web.fetches == 1

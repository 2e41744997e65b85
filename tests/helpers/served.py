"""A server whose application answers everything, for what stands before an application."""

import functools
import http.client
import json
import threading
import time
import types

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from deeplab.config.serve import ServeConfig
from deeplab.serving import page
from deeplab.serving.guard import request_log
from deeplab.serving.run import http_server

TOKEN = "a-token-of-32-letters-and-digits"


async def _answer(request):
    return JSONResponse({"body": len(await request.body()), "id": request_log.current()})


class Served:
    """A server in a thread whose application answers everything; the options are flags."""

    def __init__(self, **options):
        config = ServeConfig("unused", **{"port": 0, "access_log": False, **options})
        routes = [
            Route("/", functools.partial(page.page, None)),
            Route("/{path:path}", _answer, methods=["GET", "POST"]),
        ]
        self.server = http_server(
            types.SimpleNamespace(
                config=config,
                asgi=lambda: Starlette(routes=routes),
                stop=lambda seconds: None,
                refused=lambda status: None,
            )
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(30)

    def ask(self, path="/v1/models", method="GET", connection=None, **headers):
        """Returns (status, headers, JSON or text); None as the value of a header leaves it out."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        host = headers.pop("Host", f"127.0.0.1:{self.port}")
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host, **headers}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, json.loads(content) if content.startswith("{") else content

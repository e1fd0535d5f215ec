"""localstripe, on loopback and without a memory. Prints its port when it listens."""

import socket

import localstripe.resources
import localstripe.server
from aiohttp import web

localstripe.resources.Store.dump_to_disk = lambda self: None

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(localstripe.server.app, sock=listener, print=None)

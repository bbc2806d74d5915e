#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A region's web server: says which region it is. SIGUSR1 breaks its health page (500), SIGUSR2 repairs it.
region_server.py NAME ADDRESS PORT"""
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    broken = False

    def do_GET(self):
        body = f"{sys.argv[1]} ok\n".encode()
        self.send_response(500 if Handler.broken and self.path == "/healthz" else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def set_broken(signum, _):
    Handler.broken = signum == signal.SIGUSR1


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, set_broken)
    signal.signal(signal.SIGUSR2, set_broken)
    Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()

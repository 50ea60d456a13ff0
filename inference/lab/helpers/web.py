"""An HTTP/1.1 server of the folder $SITE: web.py PORT [tls]. POST answers with the number of bytes."""

import functools
import http.server
import os
import socket
import ssl
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        answer = f"{size} bytes\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET6  # and IPv4 with it


server = Server(("::", int(sys.argv[1])), functools.partial(Handler, directory=os.environ["SITE"]))
if "tls" in sys.argv:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()

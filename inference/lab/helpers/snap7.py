"""S7: snap7.py serve, or snap7.py HOST read|write|info TIMES."""

import sys
import threading

sys.path.pop(0)  # this file has the name of the package

import snap7  # noqa: E402


def serve():
    server = snap7.Server()
    server.register_area(snap7.SrvArea.DB, 1, bytearray(range(200)))
    server.register_area(snap7.SrvArea.MK, 0, bytearray(100))
    server.start(102)
    threading.Event().wait()


def talk(host: str, what: str, times: int):
    client = snap7.Client()
    client.connect(host, 0, 1, 102)
    for i in range(times):
        if what == "read":
            client.db_read(1, i, 10 + i * 2)
        elif what == "write":
            client.db_write(1, i * 4, bytearray([i] * (4 + i)))
            client.db_read(1, i * 4, 8)
        else:
            client.get_cpu_state()
            client.get_cpu_info()
    client.disconnect()


if sys.argv[1] == "serve":
    serve()
else:
    talk(sys.argv[1], sys.argv[2], int(sys.argv[3]))

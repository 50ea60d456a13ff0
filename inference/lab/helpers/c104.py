"""IEC 60870-5-104: c104.py serve, or c104.py HOST ROUNDS."""

import sys
import threading
import time

sys.path.pop(0)  # this file has the name of the package

import c104  # noqa: E402

KINDS = (c104.Type.M_ME_NC_1, c104.Type.M_SP_NA_1, c104.Type.M_ME_NB_1)


def serve():
    server = c104.Server(ip="0.0.0.0", port=2404)
    station = server.add_station(common_address=47)
    for i, kind in enumerate(KINDS):
        station.add_point(io_address=11 + i, type=kind, report_ms=500)
    server.start()
    threading.Event().wait()


def talk(host: str, rounds: int):
    client = c104.Client()
    connection = client.add_connection(ip=host, port=2404, init=c104.Init.ALL)
    station = connection.add_station(common_address=47)
    points = [station.add_point(io_address=11 + i, type=kind) for i, kind in enumerate(KINDS)]
    client.start()
    end = time.monotonic() + 15
    while not connection.is_connected and time.monotonic() < end:
        time.sleep(0.05)
    for _ in range(rounds):
        time.sleep(1)
        connection.interrogation(common_address=47)
        for point in points:
            point.read()
    client.stop()


if sys.argv[1] == "serve":
    serve()
else:
    talk(sys.argv[1], int(sys.argv[2]))

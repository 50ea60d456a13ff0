"""Prints results as they are stored: tail.py ADDRESS CA CERTIFICATE KEY"""

import sys
from pathlib import Path

import grpc

from sonde.query.v1 import query_pb2, query_pb2_grpc


def main(address: str, *files: str) -> None:
    ca, certificate, key = (Path(file).read_bytes() for file in files)
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    with grpc.secure_channel(address, credentials) as channel:
        query = query_pb2_grpc.QueryServiceStub(channel)
        for answer in query.WatchResults(query_pb2.WatchResultsRequest()):
            if answer.missed:
                print(f"missed {answer.missed}", flush=True)
            if answer.HasField("result"):
                result = answer.result
                label = "unknown" if result.classification.unknown else result.classification.label
                print(result.session_id, label, f"{result.server.address} port {result.server.port}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

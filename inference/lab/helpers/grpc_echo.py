"""A gRPC echo, unary and streaming: grpc_echo.py serve, at 443 with TLS and at 50051 in clear; or grpc_echo.py tls|clear CALLS SIZE."""

import concurrent.futures
import os
import sys
from pathlib import Path

import grpc


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "lab.Echo",
                {
                    "Say": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
                    "Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
                },
            ),
        )
    )
    server.add_secure_port("[::]:443", grpc.ssl_server_credentials([(Path(os.environ["KEY"]).read_bytes(), Path(os.environ["CERT"]).read_bytes())]))
    server.add_insecure_port("[::]:50051")
    server.start()
    server.wait_for_termination()


def talk(how: str, calls: int, size: int):
    name = os.environ["NAME"]
    if how == "tls":
        channel = grpc.secure_channel(f"{name}:443", grpc.ssl_channel_credentials(Path(os.environ["CA"]).read_bytes()))
    else:
        channel = grpc.insecure_channel(f"{name}:50051")
    with channel:
        say, chat = channel.unary_unary("/lab.Echo/Say"), channel.stream_stream("/lab.Echo/Chat")
        for _ in range(calls):
            say(os.urandom(size // 2) + bytes(size // 2), timeout=20)
        print(sum(len(answer) for answer in chat(iter([b"words " * 9] * calls), timeout=20)))


if sys.argv[1] == "serve":
    serve()
else:
    talk(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

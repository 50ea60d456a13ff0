"""Goes through a server with KServe's client: ADDRESS CA CERTIFICATE KEY MODEL.onnx, as a service."""

import asyncio
import logging

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from oracle import TYPES, Oracle, place, rows


def request(arrays, typed, model="sonde", **more):
    inputs = []
    for name, array in arrays.items():
        if typed:  # a list travels in typed contents
            inputs.append(InferInput(name, list(array.shape), TYPES[name], data=array.flatten().tolist()))
        else:
            inputs.append(InferInput(name, list(array.shape), TYPES[name]))
            inputs[-1].set_data_from_numpy(array, binary_data=True)
    return InferRequest(model_name=model, infer_inputs=inputs, **more)


async def refused(call, code, *words):
    try:
        await call
    except grpc.aio.AioRpcError as error:
        assert error.code() == code and all(w in error.details() for w in words), error
        print("   ", code.name, error.details())
        return
    raise AssertionError(f"was not refused: {words}")


async def main():
    here = place()
    oracle = Oracle(here.model)
    async with InferenceGRPCClient(here.address, creds=grpc.ssl_channel_credentials(*here.bytes())) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("sonde") and not await client.is_model_ready("other")
        for typed in False, True:
            given = rows(5)
            response = await client.infer(request(given, typed, request_id="five"))
            assert response.id == "five" and response.model_name == "sonde" and response.model_version == "1", response
            answers = {o.name: o for o in response.outputs}
            oracle.check(given, lambda name: answers[name].as_numpy())
        bad = rows(2)
        bad["meta"] = bad["meta"].astype(np.float32)[:, :95]
        await refused(client.infer(request(bad, False)), grpc.StatusCode.INVALID_ARGUMENT, '"meta" has shape [-1 96]')
        await refused(client.infer(request(rows(1), True, model="other")), grpc.StatusCode.NOT_FOUND, 'no model "other"')


logging.getLogger("kserve").setLevel(logging.CRITICAL)  # it writes a traceback for each error
asyncio.run(main())

"""Goes through a server with tritonclient.grpc.aio: ADDRESS CA CERTIFICATE KEY MODEL.onnx, as a service."""

import asyncio

import tritonclient.grpc.aio as triton
from oracle import TYPES, Oracle, place, rows


def tensors(arrays):
    all = []
    for name, array in arrays.items():
        all.append(triton.InferInput(name, array.shape, TYPES[name]))
        all[-1].set_data_from_numpy(array)
    return all


async def main():
    here = place()
    oracle = Oracle(here.model)
    async with triton.InferenceServerClient(
            here.address, ssl=True, root_certificates=here.ca, private_key=here.key, certificate_chain=here.certificate) as client:
        assert await client.is_server_ready()
        given = [rows(n + 1, seed=n) for n in range(20)]
        results = await asyncio.gather(*(client.infer("sonde", tensors(g)) for g in given))
        for arrays, result in zip(given, results):
            oracle.check(arrays, result.as_numpy)

        async def requests():
            for n, arrays in enumerate(given):
                yield {"model_name": "other" if n == 3 else "sonde", "inputs": tensors(arrays), "request_id": str(n)}

        n = 0
        async for result, error in client.stream_infer(requests()):
            if n == 3:
                assert "[request id: 3]" in str(error), error
            else:
                assert error is None and result.get_response().id == str(n), error
                oracle.check(given[n], result.as_numpy)
            n += 1
        assert n == len(given), n


asyncio.run(main())

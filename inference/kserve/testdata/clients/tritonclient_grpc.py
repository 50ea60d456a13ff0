"""Goes through a server with tritonclient.grpc: ADDRESS CA CERTIFICATE KEY MODEL.onnx, as an operator."""

import json
import queue

import numpy as np
import tritonclient.grpc as triton
from oracle import TYPES, Oracle, place, refused, rows

HERE = place()
ORACLE = Oracle(HERE.model)
CLIENT = triton.InferenceServerClient(
    HERE.address, ssl=True, root_certificates=HERE.ca, private_key=HERE.key, certificate_chain=HERE.certificate)


def tensors(arrays, types=TYPES):
    all = []
    for name, array in arrays.items():
        all.append(triton.InferInput(name, array.shape, types[name]))
        all[-1].set_data_from_numpy(array)
    return all


def health():
    assert CLIENT.is_server_live() and CLIENT.is_server_ready()
    assert CLIENT.is_model_ready("sonde") and CLIENT.is_model_ready("sonde", "1")
    assert not CLIENT.is_model_ready("sonde", "99") and not CLIENT.is_model_ready("other")


def metadata():
    server = CLIENT.get_server_metadata()
    assert server.name == "sonde" and {"classification", "model_repository", "statistics"} <= set(server.extensions), server
    model = CLIENT.get_model_metadata("sonde", as_json=True)
    assert model["platform"] == "onnxruntime_onnx" and model["versions"] == ["1"], model
    assert [(t["name"], t["datatype"], t["shape"]) for t in model["inputs"]] == [
        ("bytes", "UINT8", ["-1", "784"]), ("series", "FP32", ["-1", "4", "24"]), ("meta", "FP32", ["-1", "96"])], model
    config = CLIENT.get_model_config("sonde").config
    assert config.max_batch_size >= 256 and config.HasField("dynamic_batching"), config
    assert config.dynamic_batching.priority_levels == 2 and list(config.input[1].dims) == [4, 24], config
    labels = json.loads(config.parameters["sonde.labels"].string_value)
    assert len(labels) == ORACLE.answer(rows(1))["probs"].shape[1]


def infer():
    for n in 1, 3, 64, 300:
        given = rows(n, seed=n)
        result = CLIENT.infer("sonde", tensors(given), request_id=str(n))
        ORACLE.check(given, result.as_numpy)
        response = result.get_response()
        assert (response.id, response.model_name, response.model_version) == (str(n), "sonde", "1"), response
    given = rows(5)
    wanted = [triton.InferRequestedOutput("label"), triton.InferRequestedOutput("probs")]
    result = CLIENT.infer("sonde", tensors(given), model_version="1", outputs=wanted, priority=1, timeout=5_000_000,
                          compression_algorithm="gzip", parameters={"unheard-of": "passed over"})
    ORACLE.check(given, result.as_numpy, ["label", "probs"])
    assert result.as_numpy("energy") is None
    refused(lambda: CLIENT.infer("sonde", tensors(given), compression_algorithm="deflate"), "UNIMPLEMENTED", "deflate")


def classification():
    given = rows(4)
    result = CLIENT.infer("sonde", tensors(given), outputs=[triton.InferRequestedOutput("probs", class_count=3)])
    texts, want = result.as_numpy("probs"), ORACLE.answer(given)["probs"]
    labels = json.loads(CLIENT.get_model_config("sonde").config.parameters["sonde.labels"].string_value)
    assert texts.shape == (4, 3), texts
    for row in range(4):
        for text, at in zip(texts[row], np.argsort(-want[row], kind="stable")):
            value, index, label = text.decode().split(":")
            assert abs(float(value) - want[row][int(index)]) < 2e-5 and label == labels[int(index)]["name"], (text, at)
            assert abs(want[row][int(index)] - want[row][at]) < 2e-5, (text, at)


def asynchronous():
    answers = queue.Queue()
    given = [rows(n + 1, seed=n) for n in range(10)]
    for n, arrays in enumerate(given):
        CLIENT.async_infer("sonde", tensors(arrays), lambda result, error, n=n: answers.put((n, result, error)))
    for _ in given:
        n, result, error = answers.get(timeout=30)
        assert error is None, error
        ORACLE.check(given[n], result.as_numpy)
    CLIENT.async_infer("other", tensors(given[0]), lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=30)
    assert result is None and error.status() == "StatusCode.NOT_FOUND", error


def stream():
    answers = queue.Queue()
    given = [rows(n % 4 + 1, seed=n) for n in range(40)]
    CLIENT.start_stream(lambda result, error: answers.put((result, error)))
    for n, arrays in enumerate(given):
        CLIENT.async_stream_infer("other" if n == 7 else "sonde", tensors(arrays), request_id=f"r{n}")
    for n, arrays in enumerate(given):  # in their order, and on after the one that fails
        result, error = answers.get(timeout=30)
        if n == 7:
            assert result is None and '[request id: r7] no model "other"' in str(error), error
            continue
        assert error is None and result.get_response().id == f"r{n}", error
        assert result.get_response().parameters["triton_final_response"].bool_param
        ORACLE.check(arrays, result.as_numpy)
    CLIENT.stop_stream()


def statistics():
    """What perf_analyzer asks for before and after each measurement."""
    assert CLIENT.get_server_metadata().extensions
    model, config = CLIENT.get_model_metadata("sonde"), CLIENT.get_model_config("sonde").config
    assert len(model.inputs) == len(config.input) and not config.model_transaction_policy.decoupled
    assert not config.ensemble_scheduling.step and not config.sequence_batching.direct.max_queue_delay_microseconds
    before = CLIENT.get_inference_statistics("sonde", "1").model_stats[0]
    for n in 2, 3:
        CLIENT.infer("sonde", tensors(rows(n)))
    after = CLIENT.get_inference_statistics("sonde", "1").model_stats[0]
    assert after.inference_count - before.inference_count == 5 and after.execution_count - before.execution_count == 2
    assert after.inference_stats.success.count - before.inference_stats.success.count == 2
    assert after.inference_stats.fail.count == before.inference_stats.fail.count
    for part in "success", "queue", "compute_input", "compute_infer", "compute_output":
        a, b = getattr(after.inference_stats, part), getattr(before.inference_stats, part)
        assert a.count - b.count == 2 and a.ns >= b.ns, part
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert {2, 3} <= {b.batch_size for b in after.batch_stats} and after.last_inference >= before.last_inference > 0
    assert CLIENT.get_inference_statistics().model_stats


def repository():
    index = {(m.name, m.version): m.state for m in CLIENT.get_model_repository_index().models}
    assert index["sonde", "1"] == "READY", index
    CLIENT.load_model("sonde")
    CLIENT.load_model("sonde", config=json.dumps({"name": "sonde", "version_policy": {"specific": {"versions": [1]}}}))
    config = CLIENT.get_model_config("sonde", as_json=True)["config"]  # sent back as it came, but for the policy
    CLIENT.load_model("sonde", config=json.dumps({**config, "version_policy": {"latest": {"num_versions": 1}}}))
    refused(lambda: CLIENT.load_model("sonde", config=json.dumps({"max_batch_size": 7})), "INVALID_ARGUMENT", "max_batch_size")
    refused(lambda: CLIENT.load_model("sonde", config="{}", files={"file:1/model.onnx": b"x"}), "INVALID_ARGUMENT", "file:1/model.onnx")
    refused(lambda: CLIENT.load_model("other"), "NOT_FOUND", "other")
    CLIENT.unload_model("sonde")
    assert not CLIENT.is_model_ready("sonde") and not CLIENT.is_server_ready()
    refused(lambda: CLIENT.infer("sonde", tensors(rows(1))), "NOT_FOUND", "sonde")
    refused(lambda: CLIENT.unload_model("sonde"), "NOT_FOUND")
    CLIENT.load_model("sonde")
    infer()


def errors():
    good = rows(2)

    def spoilt(name, array, datatype=None, as_name=None):
        arrays = {as_name or k if k == name else k: array if k == name else v for k, v in good.items()}
        types = {as_name or k if k == name else k: datatype or t if k == name else t for k, t in TYPES.items()}
        return lambda: CLIENT.infer("sonde", tensors(arrays, types))

    bad = "StatusCode.INVALID_ARGUMENT"
    refused(spoilt("meta", good["meta"], as_name="mata"), bad, 'no input "mata"')
    refused(spoilt("meta", good["meta"].astype(np.float64), "FP64"), bad, '"meta" is FP32', '"FP64" came')
    refused(spoilt("series", good["series"][:, :, :23]), bad, '"series" has shape [-1 4 24]', "[2 4 23] came")
    refused(spoilt("bytes", good["bytes"][:1]), bad, "rows")
    refused(spoilt("bytes", np.full((2, 784), b"x", object), "BYTES"), bad, '"bytes" is UINT8', '"BYTES" came')
    refused(lambda: CLIENT.infer("sonde", tensors({k: good[k] for k in ("bytes", "series")})), bad, '"meta" is missing')
    refused(lambda: CLIENT.infer("sonde", tensors(rows(5000))), bad, "5000 rows")
    refused(lambda: CLIENT.infer("sonde", tensors(good), outputs=[triton.InferRequestedOutput("scores")]), bad, 'no output "scores"')
    refused(lambda: CLIENT.infer("sonde", tensors(good), sequence_id=3, sequence_start=True), bad, "sequences")
    refused(lambda: CLIENT.infer("sonde", tensors(rows(4096)), client_timeout=1e-3), "StatusCode.DEADLINE_EXCEEDED")
    refused(lambda: CLIENT.infer("sonde", tensors(rows(2), TYPES), model_version="7"), "NOT_FOUND", "sonde/7")
    ORACLE.check(good, CLIENT.infer("sonde", tensors(good)).as_numpy)


def left_out():
    gone = "StatusCode.UNIMPLEMENTED"
    refused(CLIENT.get_system_shared_memory_status, gone)
    refused(lambda: CLIENT.register_system_shared_memory("a", "/a", 10), gone)
    refused(CLIENT.unregister_system_shared_memory, gone)
    refused(CLIENT.get_cuda_shared_memory_status, gone)
    refused(lambda: CLIENT.register_cuda_shared_memory("a", b"eA==", 0, 10), gone)
    refused(CLIENT.unregister_cuda_shared_memory, gone)
    refused(CLIENT.get_trace_settings, gone)
    refused(lambda: CLIENT.update_log_settings({"log_info": True}), gone)
    tensor = triton.InferInput("bytes", [1, 784], "UINT8")
    tensor.set_shared_memory("a", 784)
    others = tensors({k: v for k, v in rows(1).items() if k != "bytes"})
    refused(lambda: CLIENT.infer("sonde", [tensor, *others]), "StatusCode.INVALID_ARGUMENT", "shared memory")


for check in health, metadata, infer, classification, asynchronous, stream, statistics, repository, errors, left_out:
    print(check.__name__, flush=True)
    check()
CLIENT.close()

import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sonde.flow.v1 import flow_pb2 as _flow_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BULK: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BULK: Priority

class Session(_message.Message):
    __slots__ = ("id", "ip_protocol", "signed_sizes", "gaps_us", "reverse_empty", "forward_payload", "reverse_payload")
    ID_FIELD_NUMBER: _ClassVar[int]
    IP_PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SIGNED_SIZES_FIELD_NUMBER: _ClassVar[int]
    GAPS_US_FIELD_NUMBER: _ClassVar[int]
    REVERSE_EMPTY_FIELD_NUMBER: _ClassVar[int]
    FORWARD_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REVERSE_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    id: str
    ip_protocol: int
    signed_sizes: _containers.RepeatedScalarFieldContainer[int]
    gaps_us: _containers.RepeatedScalarFieldContainer[int]
    reverse_empty: _containers.RepeatedScalarFieldContainer[int]
    forward_payload: bytes
    reverse_payload: bytes
    def __init__(self, id: _Optional[str] = ..., ip_protocol: _Optional[int] = ..., signed_sizes: _Optional[_Iterable[int]] = ..., gaps_us: _Optional[_Iterable[int]] = ..., reverse_empty: _Optional[_Iterable[int]] = ..., forward_payload: _Optional[bytes] = ..., reverse_payload: _Optional[bytes] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("id", "model", "version", "sessions", "top_k", "priority")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    version: str
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    top_k: int
    priority: Priority
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., top_k: _Optional[int] = ..., priority: _Optional[_Union[Priority, str]] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("id", "model", "version", "schema_sha256", "classifications")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_SHA256_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    version: str
    schema_sha256: str
    classifications: _containers.RepeatedCompositeFieldContainer[_flow_pb2.Classification]
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., schema_sha256: _Optional[str] = ..., classifications: _Optional[_Iterable[_Union[_flow_pb2.Classification, _Mapping]]] = ...) -> None: ...

class ClassifyStreamRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: ClassifyRequest
    def __init__(self, request: _Optional[_Union[ClassifyRequest, _Mapping]] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: ClassifyResponse
    error: ClassifyError
    def __init__(self, response: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., error: _Optional[_Union[ClassifyError, _Mapping]] = ...) -> None: ...

class ClassifyError(_message.Message):
    __slots__ = ("id", "code", "message")
    ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    code: int
    message: str
    def __init__(self, id: _Optional[str] = ..., code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ModelLabel(_message.Message):
    __slots__ = ("name", "category", "weak", "unknown_below")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    WEAK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_BELOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    category: str
    weak: bool
    unknown_below: float
    def __init__(self, name: _Optional[str] = ..., category: _Optional[str] = ..., weak: _Optional[bool] = ..., unknown_below: _Optional[float] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "version", "labels", "schema_sha256", "unknown_below", "metrics_json", "create_time", "card", "schema_json", "sha256")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_SHA256_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_BELOW_FIELD_NUMBER: _ClassVar[int]
    METRICS_JSON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    labels: _containers.RepeatedCompositeFieldContainer[ModelLabel]
    schema_sha256: str
    unknown_below: float
    metrics_json: str
    create_time: _timestamp_pb2.Timestamp
    card: str
    schema_json: str
    sha256: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[ModelLabel, _Mapping]]] = ..., schema_sha256: _Optional[str] = ..., unknown_below: _Optional[float] = ..., metrics_json: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., card: _Optional[str] = ..., schema_json: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model", "version", "session")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    session: Session
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("part", "probability_drop")
    PART_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_DROP_FIELD_NUMBER: _ClassVar[int]
    part: str
    probability_drop: float
    def __init__(self, part: _Optional[str] = ..., probability_drop: _Optional[float] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("classification", "contributions")
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    classification: _flow_pb2.Classification
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    def __init__(self, classification: _Optional[_Union[_flow_pb2.Classification, _Mapping]] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ...) -> None: ...

class GetDriftRequest(_message.Message):
    __slots__ = ("model", "version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("name", "psi", "bins", "reference", "seen")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PSI_FIELD_NUMBER: _ClassVar[int]
    BINS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    psi: float
    bins: _containers.RepeatedScalarFieldContainer[str]
    reference: _containers.RepeatedScalarFieldContainer[float]
    seen: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., psi: _Optional[float] = ..., bins: _Optional[_Iterable[str]] = ..., reference: _Optional[_Iterable[float]] = ..., seen: _Optional[_Iterable[float]] = ...) -> None: ...

class GetDriftResponse(_message.Message):
    __slots__ = ("model", "version", "sessions", "start_time", "unknown_rate", "reference_unknown_rate", "features", "confidence", "energy", "classes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_RATE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_UNKNOWN_RATE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    sessions: int
    start_time: _timestamp_pb2.Timestamp
    unknown_rate: float
    reference_unknown_rate: float
    features: _containers.RepeatedCompositeFieldContainer[Drift]
    confidence: Drift
    energy: Drift
    classes: Drift
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., sessions: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unknown_rate: _Optional[float] = ..., reference_unknown_rate: _Optional[float] = ..., features: _Optional[_Iterable[_Union[Drift, _Mapping]]] = ..., confidence: _Optional[_Union[Drift, _Mapping]] = ..., energy: _Optional[_Union[Drift, _Mapping]] = ..., classes: _Optional[_Union[Drift, _Mapping]] = ...) -> None: ...

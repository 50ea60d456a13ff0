import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from sonde.flow.v1 import flow_pb2 as _flow_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RejectionReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECTION_REASON_UNSPECIFIED: _ClassVar[RejectionReason]
    REJECTION_REASON_OUT_OF_ORDER: _ClassVar[RejectionReason]
    REJECTION_REASON_FULL: _ClassVar[RejectionReason]
    REJECTION_REASON_MALFORMED: _ClassVar[RejectionReason]
    REJECTION_REASON_CHECKSUM: _ClassVar[RejectionReason]
    REJECTION_REASON_TOO_LARGE: _ClassVar[RejectionReason]
REJECTION_REASON_UNSPECIFIED: RejectionReason
REJECTION_REASON_OUT_OF_ORDER: RejectionReason
REJECTION_REASON_FULL: RejectionReason
REJECTION_REASON_MALFORMED: RejectionReason
REJECTION_REASON_CHECKSUM: RejectionReason
REJECTION_REASON_TOO_LARGE: RejectionReason

class IngestRequest(_message.Message):
    __slots__ = ("hello", "batch")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class IngestResponse(_message.Message):
    __slots__ = ("welcome", "ack", "rejection", "directive", "drain")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    DIRECTIVE_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    rejection: Rejection
    directive: Directive
    drain: Drain
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ..., directive: _Optional[_Union[Directive, _Mapping]] = ..., drain: _Optional[_Union[Drain, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("epoch", "lane", "first_available_sequence", "last_durable_sequence", "last_sent_sequence", "version", "capture_points", "config_revision", "lost", "durable_packets")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    FIRST_AVAILABLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_DURABLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SENT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_POINTS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_REVISION_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    DURABLE_PACKETS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    lane: int
    first_available_sequence: int
    last_durable_sequence: int
    last_sent_sequence: int
    version: str
    capture_points: _containers.RepeatedCompositeFieldContainer[CapturePoint]
    config_revision: int
    lost: _containers.RepeatedCompositeFieldContainer[LostLane]
    durable_packets: int
    def __init__(self, epoch: _Optional[int] = ..., lane: _Optional[int] = ..., first_available_sequence: _Optional[int] = ..., last_durable_sequence: _Optional[int] = ..., last_sent_sequence: _Optional[int] = ..., version: _Optional[str] = ..., capture_points: _Optional[_Iterable[_Union[CapturePoint, _Mapping]]] = ..., config_revision: _Optional[int] = ..., lost: _Optional[_Iterable[_Union[LostLane, _Mapping]]] = ..., durable_packets: _Optional[int] = ...) -> None: ...

class CapturePoint(_message.Message):
    __slots__ = ("name", "filter")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    filter: str
    def __init__(self, name: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class LostLane(_message.Message):
    __slots__ = ("epoch", "lane", "counters")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    lane: int
    counters: Counters
    def __init__(self, epoch: _Optional[int] = ..., lane: _Optional[int] = ..., counters: _Optional[_Union[Counters, _Mapping]] = ...) -> None: ...

class Counters(_message.Message):
    __slots__ = ("seen", "filtered", "non_ip", "undecodable", "frag_unmatched", "dup", "cut", "accepted", "kernel_dropped", "opened_sessions", "ended_sessions")
    SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    NON_IP_FIELD_NUMBER: _ClassVar[int]
    UNDECODABLE_FIELD_NUMBER: _ClassVar[int]
    FRAG_UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    DUP_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    KERNEL_DROPPED_FIELD_NUMBER: _ClassVar[int]
    OPENED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ENDED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    seen: int
    filtered: int
    non_ip: int
    undecodable: int
    frag_unmatched: int
    dup: int
    cut: int
    accepted: int
    kernel_dropped: int
    opened_sessions: int
    ended_sessions: int
    def __init__(self, seen: _Optional[int] = ..., filtered: _Optional[int] = ..., non_ip: _Optional[int] = ..., undecodable: _Optional[int] = ..., frag_unmatched: _Optional[int] = ..., dup: _Optional[int] = ..., cut: _Optional[int] = ..., accepted: _Optional[int] = ..., kernel_dropped: _Optional[int] = ..., opened_sessions: _Optional[int] = ..., ended_sessions: _Optional[int] = ...) -> None: ...

class SpoolCounters(_message.Message):
    __slots__ = ("dropped", "released", "rejected")
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    released: int
    rejected: int
    def __init__(self, dropped: _Optional[int] = ..., released: _Optional[int] = ..., rejected: _Optional[int] = ...) -> None: ...

class SessionUpdate(_message.Message):
    __slots__ = ("number", "opened", "interface_index", "scope", "five_tuple", "counts", "packets_before", "midstream", "continued")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_INDEX_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FIVE_TUPLE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    PACKETS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    MIDSTREAM_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    number: int
    opened: bool
    interface_index: int
    scope: _flow_pb2.Scope
    five_tuple: _flow_pb2.FiveTuple
    counts: _flow_pb2.Counts
    packets_before: int
    midstream: bool
    continued: bool
    def __init__(self, number: _Optional[int] = ..., opened: _Optional[bool] = ..., interface_index: _Optional[int] = ..., scope: _Optional[_Union[_flow_pb2.Scope, _Mapping]] = ..., five_tuple: _Optional[_Union[_flow_pb2.FiveTuple, _Mapping]] = ..., counts: _Optional[_Union[_flow_pb2.Counts, _Mapping]] = ..., packets_before: _Optional[int] = ..., midstream: _Optional[bool] = ..., continued: _Optional[bool] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("sequence", "skipped", "ended_below", "sessions", "interfaces", "base_time_ns", "session_index", "time_deltas_ns", "captured", "missing", "flags", "interface_indexes", "counters", "spool", "crc32c", "config_revision", "data")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    ENDED_BELOW_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    BASE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SESSION_INDEX_FIELD_NUMBER: _ClassVar[int]
    TIME_DELTAS_NS_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_INDEXES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    SPOOL_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    CONFIG_REVISION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    skipped: int
    ended_below: int
    sessions: _containers.RepeatedCompositeFieldContainer[SessionUpdate]
    interfaces: _containers.RepeatedCompositeFieldContainer[_flow_pb2.Interface]
    base_time_ns: int
    session_index: _containers.RepeatedScalarFieldContainer[int]
    time_deltas_ns: _containers.RepeatedScalarFieldContainer[int]
    captured: _containers.RepeatedScalarFieldContainer[int]
    missing: _containers.RepeatedScalarFieldContainer[int]
    flags: _containers.RepeatedScalarFieldContainer[int]
    interface_indexes: _containers.RepeatedScalarFieldContainer[int]
    counters: Counters
    spool: SpoolCounters
    crc32c: int
    config_revision: int
    data: bytes
    def __init__(self, sequence: _Optional[int] = ..., skipped: _Optional[int] = ..., ended_below: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[SessionUpdate, _Mapping]]] = ..., interfaces: _Optional[_Iterable[_Union[_flow_pb2.Interface, _Mapping]]] = ..., base_time_ns: _Optional[int] = ..., session_index: _Optional[_Iterable[int]] = ..., time_deltas_ns: _Optional[_Iterable[int]] = ..., captured: _Optional[_Iterable[int]] = ..., missing: _Optional[_Iterable[int]] = ..., flags: _Optional[_Iterable[int]] = ..., interface_indexes: _Optional[_Iterable[int]] = ..., counters: _Optional[_Union[Counters, _Mapping]] = ..., spool: _Optional[_Union[SpoolCounters, _Mapping]] = ..., crc32c: _Optional[int] = ..., config_revision: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("resume_sequence", "window_bytes", "max_batch_bytes", "max_batch_packets")
    RESUME_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_PACKETS_FIELD_NUMBER: _ClassVar[int]
    resume_sequence: int
    window_bytes: int
    max_batch_bytes: int
    max_batch_packets: int
    def __init__(self, resume_sequence: _Optional[int] = ..., window_bytes: _Optional[int] = ..., max_batch_bytes: _Optional[int] = ..., max_batch_packets: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("received", "durable", "window_bytes")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    received: int
    durable: int
    window_bytes: int
    def __init__(self, received: _Optional[int] = ..., durable: _Optional[int] = ..., window_bytes: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("sequence", "reason", "retry_delay", "detail")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reason: RejectionReason
    retry_delay: _duration_pb2.Duration
    detail: str
    def __init__(self, sequence: _Optional[int] = ..., reason: _Optional[_Union[RejectionReason, str]] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...

class Directive(_message.Message):
    __slots__ = ("enough",)
    ENOUGH_FIELD_NUMBER: _ClassVar[int]
    enough: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, enough: _Optional[_Iterable[int]] = ...) -> None: ...

class Drain(_message.Message):
    __slots__ = ("grace",)
    GRACE_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    def __init__(self, grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

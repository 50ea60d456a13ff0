import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sonde.flow.v1 import flow_pb2 as _flow_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfigState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIG_STATE_UNSPECIFIED: _ClassVar[ConfigState]
    CONFIG_STATE_APPLYING: _ClassVar[ConfigState]
    CONFIG_STATE_APPLIED: _ClassVar[ConfigState]
    CONFIG_STATE_FAILED: _ClassVar[ConfigState]
CONFIG_STATE_UNSPECIFIED: ConfigState
CONFIG_STATE_APPLYING: ConfigState
CONFIG_STATE_APPLIED: ConfigState
CONFIG_STATE_FAILED: ConfigState

class WatchRequest(_message.Message):
    __slots__ = ("after_stamp",)
    AFTER_STAMP_FIELD_NUMBER: _ClassVar[int]
    after_stamp: int
    def __init__(self, after_stamp: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("stamp", "config")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    stamp: int
    config: PublishedAgentConfig
    def __init__(self, stamp: _Optional[int] = ..., config: _Optional[_Union[PublishedAgentConfig, _Mapping]] = ...) -> None: ...

class ReportStatusRequest(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: ConfigStatus
    def __init__(self, status: _Optional[_Union[ConfigStatus, _Mapping]] = ...) -> None: ...

class ReportStatusResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AgentConfig(_message.Message):
    __slots__ = ("capture_points", "filter", "collector", "head_packets", "payload_bytes", "snap_length", "enabled", "spool_bytes", "tunnel_ports", "flow_table_bytes")
    CAPTURE_POINTS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    COLLECTOR_FIELD_NUMBER: _ClassVar[int]
    HEAD_PACKETS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    SNAP_LENGTH_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_PORTS_FIELD_NUMBER: _ClassVar[int]
    FLOW_TABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    capture_points: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    collector: str
    head_packets: int
    payload_bytes: int
    snap_length: int
    enabled: bool
    spool_bytes: int
    tunnel_ports: _flow_pb2.TunnelPorts
    flow_table_bytes: int
    def __init__(self, capture_points: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., collector: _Optional[str] = ..., head_packets: _Optional[int] = ..., payload_bytes: _Optional[int] = ..., snap_length: _Optional[int] = ..., enabled: _Optional[bool] = ..., spool_bytes: _Optional[int] = ..., tunnel_ports: _Optional[_Union[_flow_pb2.TunnelPorts, _Mapping]] = ..., flow_table_bytes: _Optional[int] = ...) -> None: ...

class ServiceConfig(_message.Message):
    __slots__ = ("hand_over_deadline", "session_bytes", "keep_results", "keep_packets", "model", "model_version", "shadow_version", "canary_version", "canary_percent", "tunnel_ports")
    HAND_OVER_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SESSION_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEEP_RESULTS_FIELD_NUMBER: _ClassVar[int]
    KEEP_PACKETS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_VERSION_FIELD_NUMBER: _ClassVar[int]
    CANARY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CANARY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_PORTS_FIELD_NUMBER: _ClassVar[int]
    hand_over_deadline: _duration_pb2.Duration
    session_bytes: int
    keep_results: _duration_pb2.Duration
    keep_packets: _duration_pb2.Duration
    model: str
    model_version: str
    shadow_version: str
    canary_version: str
    canary_percent: int
    tunnel_ports: _flow_pb2.TunnelPorts
    def __init__(self, hand_over_deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., session_bytes: _Optional[int] = ..., keep_results: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., keep_packets: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., shadow_version: _Optional[str] = ..., canary_version: _Optional[str] = ..., canary_percent: _Optional[int] = ..., tunnel_ports: _Optional[_Union[_flow_pb2.TunnelPorts, _Mapping]] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ("link_type", "instructions")
    LINK_TYPE_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    link_type: int
    instructions: bytes
    def __init__(self, link_type: _Optional[int] = ..., instructions: _Optional[bytes] = ...) -> None: ...

class PublishedAgentConfig(_message.Message):
    __slots__ = ("schema", "name", "revision", "hash", "source_position", "commit_time", "config", "programs")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_POSITION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    schema: int
    name: str
    revision: int
    hash: str
    source_position: str
    commit_time: _timestamp_pb2.Timestamp
    config: AgentConfig
    programs: _containers.RepeatedCompositeFieldContainer[Program]
    def __init__(self, schema: _Optional[int] = ..., name: _Optional[str] = ..., revision: _Optional[int] = ..., hash: _Optional[str] = ..., source_position: _Optional[str] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., config: _Optional[_Union[AgentConfig, _Mapping]] = ..., programs: _Optional[_Iterable[_Union[Program, _Mapping]]] = ...) -> None: ...

class PublishedServiceConfig(_message.Message):
    __slots__ = ("schema", "role", "name", "revision", "hash", "source_position", "commit_time", "config")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_POSITION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    schema: int
    role: str
    name: str
    revision: int
    hash: str
    source_position: str
    commit_time: _timestamp_pb2.Timestamp
    config: ServiceConfig
    def __init__(self, schema: _Optional[int] = ..., role: _Optional[str] = ..., name: _Optional[str] = ..., revision: _Optional[int] = ..., hash: _Optional[str] = ..., source_position: _Optional[str] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., config: _Optional[_Union[ServiceConfig, _Mapping]] = ...) -> None: ...

class ConfigStatus(_message.Message):
    __slots__ = ("name", "state", "wanted_revision", "running_revision", "running_hash", "error", "field", "latency", "status_time", "role", "boot_id", "from_cache", "version", "warning")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WANTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_REVISION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_HASH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    STATUS_TIME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_CACHE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ConfigState
    wanted_revision: int
    running_revision: int
    running_hash: str
    error: str
    field: str
    latency: _duration_pb2.Duration
    status_time: _timestamp_pb2.Timestamp
    role: str
    boot_id: str
    from_cache: bool
    version: str
    warning: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ConfigState, str]] = ..., wanted_revision: _Optional[int] = ..., running_revision: _Optional[int] = ..., running_hash: _Optional[str] = ..., error: _Optional[str] = ..., field: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., status_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., role: _Optional[str] = ..., boot_id: _Optional[str] = ..., from_cache: _Optional[bool] = ..., version: _Optional[str] = ..., warning: _Optional[str] = ...) -> None: ...

import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sonde.ingest.v1 import ingest_pb2 as _ingest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATE_UNSPECIFIED: _ClassVar[AgentState]
    AGENT_STATE_CONNECTED: _ClassVar[AgentState]
    AGENT_STATE_AWAY: _ClassVar[AgentState]
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_CONNECTED: AgentState
AGENT_STATE_AWAY: AgentState

class Agent(_message.Message):
    __slots__ = ("name", "state", "version", "capture_points", "config_revision", "epoch", "lanes", "seen_time", "peer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_POINTS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_REVISION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: AgentState
    version: str
    capture_points: _containers.RepeatedCompositeFieldContainer[_ingest_pb2.CapturePoint]
    config_revision: int
    epoch: int
    lanes: int
    seen_time: _timestamp_pb2.Timestamp
    peer: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[AgentState, str]] = ..., version: _Optional[str] = ..., capture_points: _Optional[_Iterable[_Union[_ingest_pb2.CapturePoint, _Mapping]]] = ..., config_revision: _Optional[int] = ..., epoch: _Optional[int] = ..., lanes: _Optional[int] = ..., seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., peer: _Optional[str] = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents",)
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[Agent]
    def __init__(self, agents: _Optional[_Iterable[_Union[Agent, _Mapping]]] = ...) -> None: ...

class GetLedgerRequest(_message.Message):
    __slots__ = ("agent",)
    AGENT_FIELD_NUMBER: _ClassVar[int]
    agent: str
    def __init__(self, agent: _Optional[str] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("agent", "epoch", "lane", "counters", "spool", "received_sequence", "durable_sequence", "gap_sequences", "applied", "mismatched", "rejected", "lost_crash", "opened_sessions", "stored_sessions", "pending_sessions", "stored_packets", "residual", "closed", "elsewhere")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    SPOOL_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DURABLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    GAP_SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    MISMATCHED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    LOST_CRASH_FIELD_NUMBER: _ClassVar[int]
    OPENED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    STORED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    PENDING_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    STORED_PACKETS_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    agent: str
    epoch: int
    lane: int
    counters: _ingest_pb2.Counters
    spool: _ingest_pb2.SpoolCounters
    received_sequence: int
    durable_sequence: int
    gap_sequences: int
    applied: int
    mismatched: int
    rejected: int
    lost_crash: int
    opened_sessions: int
    stored_sessions: int
    pending_sessions: int
    stored_packets: int
    residual: int
    closed: bool
    elsewhere: int
    def __init__(self, agent: _Optional[str] = ..., epoch: _Optional[int] = ..., lane: _Optional[int] = ..., counters: _Optional[_Union[_ingest_pb2.Counters, _Mapping]] = ..., spool: _Optional[_Union[_ingest_pb2.SpoolCounters, _Mapping]] = ..., received_sequence: _Optional[int] = ..., durable_sequence: _Optional[int] = ..., gap_sequences: _Optional[int] = ..., applied: _Optional[int] = ..., mismatched: _Optional[int] = ..., rejected: _Optional[int] = ..., lost_crash: _Optional[int] = ..., opened_sessions: _Optional[int] = ..., stored_sessions: _Optional[int] = ..., pending_sessions: _Optional[int] = ..., stored_packets: _Optional[int] = ..., residual: _Optional[int] = ..., closed: _Optional[bool] = ..., elsewhere: _Optional[int] = ...) -> None: ...

class GetLedgerResponse(_message.Message):
    __slots__ = ("entries", "total")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    total: LedgerEntry
    def __init__(self, entries: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., total: _Optional[_Union[LedgerEntry, _Mapping]] = ...) -> None: ...

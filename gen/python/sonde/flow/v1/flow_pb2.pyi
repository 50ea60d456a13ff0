from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TunnelKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TUNNEL_KIND_UNSPECIFIED: _ClassVar[TunnelKind]
    TUNNEL_KIND_GRE: _ClassVar[TunnelKind]
    TUNNEL_KIND_IP_IN_IP: _ClassVar[TunnelKind]
    TUNNEL_KIND_VXLAN: _ClassVar[TunnelKind]
    TUNNEL_KIND_GENEVE: _ClassVar[TunnelKind]
    TUNNEL_KIND_GTP_U: _ClassVar[TunnelKind]
    TUNNEL_KIND_TEREDO: _ClassVar[TunnelKind]

class EndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_REASON_UNSPECIFIED: _ClassVar[EndReason]
    END_REASON_FIN: _ClassVar[EndReason]
    END_REASON_RST: _ClassVar[EndReason]
    END_REASON_IDLE: _ClassVar[EndReason]
    END_REASON_ACTIVE_TIMEOUT: _ClassVar[EndReason]
    END_REASON_SUPERSEDED: _ClassVar[EndReason]
    END_REASON_EVICTED: _ClassVar[EndReason]
    END_REASON_CAPTURE_END: _ClassVar[EndReason]
    END_REASON_AGENT_STOPPED: _ClassVar[EndReason]
    END_REASON_AGENT_RESTARTED: _ClassVar[EndReason]
    END_REASON_AGENT_LOST: _ClassVar[EndReason]

class PacketFlag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACKET_FLAG_UNSPECIFIED: _ClassVar[PacketFlag]
    PACKET_FLAG_REVERSE: _ClassVar[PacketFlag]
    PACKET_FLAG_SNAPPED: _ClassVar[PacketFlag]
    PACKET_FLAG_CUT: _ClassVar[PacketFlag]
TUNNEL_KIND_UNSPECIFIED: TunnelKind
TUNNEL_KIND_GRE: TunnelKind
TUNNEL_KIND_IP_IN_IP: TunnelKind
TUNNEL_KIND_VXLAN: TunnelKind
TUNNEL_KIND_GENEVE: TunnelKind
TUNNEL_KIND_GTP_U: TunnelKind
TUNNEL_KIND_TEREDO: TunnelKind
END_REASON_UNSPECIFIED: EndReason
END_REASON_FIN: EndReason
END_REASON_RST: EndReason
END_REASON_IDLE: EndReason
END_REASON_ACTIVE_TIMEOUT: EndReason
END_REASON_SUPERSEDED: EndReason
END_REASON_EVICTED: EndReason
END_REASON_CAPTURE_END: EndReason
END_REASON_AGENT_STOPPED: EndReason
END_REASON_AGENT_RESTARTED: EndReason
END_REASON_AGENT_LOST: EndReason
PACKET_FLAG_UNSPECIFIED: PacketFlag
PACKET_FLAG_REVERSE: PacketFlag
PACKET_FLAG_SNAPPED: PacketFlag
PACKET_FLAG_CUT: PacketFlag

class Scope(_message.Message):
    __slots__ = ("vlan_ids", "tunnel", "tunnel_id")
    VLAN_IDS_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_ID_FIELD_NUMBER: _ClassVar[int]
    vlan_ids: _containers.RepeatedScalarFieldContainer[int]
    tunnel: TunnelKind
    tunnel_id: int
    def __init__(self, vlan_ids: _Optional[_Iterable[int]] = ..., tunnel: _Optional[_Union[TunnelKind, str]] = ..., tunnel_id: _Optional[int] = ...) -> None: ...

class FiveTuple(_message.Message):
    __slots__ = ("client_address", "client_port", "server_address", "server_port", "ip_protocol")
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_PORT_FIELD_NUMBER: _ClassVar[int]
    SERVER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVER_PORT_FIELD_NUMBER: _ClassVar[int]
    IP_PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    client_address: bytes
    client_port: int
    server_address: bytes
    server_port: int
    ip_protocol: int
    def __init__(self, client_address: _Optional[bytes] = ..., client_port: _Optional[int] = ..., server_address: _Optional[bytes] = ..., server_port: _Optional[int] = ..., ip_protocol: _Optional[int] = ...) -> None: ...

class Counts(_message.Message):
    __slots__ = ("forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes", "opened_time_ns", "last_time_ns", "ended", "end_reason", "forward_tcp_flags", "reverse_tcp_flags")
    FORWARD_PACKETS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_BYTES_FIELD_NUMBER: _ClassVar[int]
    REVERSE_PACKETS_FIELD_NUMBER: _ClassVar[int]
    REVERSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPENED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    END_REASON_FIELD_NUMBER: _ClassVar[int]
    FORWARD_TCP_FLAGS_FIELD_NUMBER: _ClassVar[int]
    REVERSE_TCP_FLAGS_FIELD_NUMBER: _ClassVar[int]
    forward_packets: int
    forward_bytes: int
    reverse_packets: int
    reverse_bytes: int
    opened_time_ns: int
    last_time_ns: int
    ended: bool
    end_reason: EndReason
    forward_tcp_flags: int
    reverse_tcp_flags: int
    def __init__(self, forward_packets: _Optional[int] = ..., forward_bytes: _Optional[int] = ..., reverse_packets: _Optional[int] = ..., reverse_bytes: _Optional[int] = ..., opened_time_ns: _Optional[int] = ..., last_time_ns: _Optional[int] = ..., ended: _Optional[bool] = ..., end_reason: _Optional[_Union[EndReason, str]] = ..., forward_tcp_flags: _Optional[int] = ..., reverse_tcp_flags: _Optional[int] = ...) -> None: ...

class Interface(_message.Message):
    __slots__ = ("capture_point", "name", "link_type", "tunnel_ports")
    CAPTURE_POINT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_TYPE_FIELD_NUMBER: _ClassVar[int]
    TUNNEL_PORTS_FIELD_NUMBER: _ClassVar[int]
    capture_point: str
    name: str
    link_type: int
    tunnel_ports: TunnelPorts
    def __init__(self, capture_point: _Optional[str] = ..., name: _Optional[str] = ..., link_type: _Optional[int] = ..., tunnel_ports: _Optional[_Union[TunnelPorts, _Mapping]] = ...) -> None: ...

class TunnelPorts(_message.Message):
    __slots__ = ("vxlan", "geneve", "gtp_u", "teredo")
    VXLAN_FIELD_NUMBER: _ClassVar[int]
    GENEVE_FIELD_NUMBER: _ClassVar[int]
    GTP_U_FIELD_NUMBER: _ClassVar[int]
    TEREDO_FIELD_NUMBER: _ClassVar[int]
    vxlan: _containers.RepeatedScalarFieldContainer[int]
    geneve: _containers.RepeatedScalarFieldContainer[int]
    gtp_u: _containers.RepeatedScalarFieldContainer[int]
    teredo: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, vxlan: _Optional[_Iterable[int]] = ..., geneve: _Optional[_Iterable[int]] = ..., gtp_u: _Optional[_Iterable[int]] = ..., teredo: _Optional[_Iterable[int]] = ...) -> None: ...

class Packets(_message.Message):
    __slots__ = ("base_time_ns", "time_deltas_ns", "captured", "missing", "flags", "interface_indexes", "ordinals", "interfaces", "data")
    BASE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_DELTAS_NS_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_INDEXES_FIELD_NUMBER: _ClassVar[int]
    ORDINALS_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    base_time_ns: int
    time_deltas_ns: _containers.RepeatedScalarFieldContainer[int]
    captured: _containers.RepeatedScalarFieldContainer[int]
    missing: _containers.RepeatedScalarFieldContainer[int]
    flags: _containers.RepeatedScalarFieldContainer[int]
    interface_indexes: _containers.RepeatedScalarFieldContainer[int]
    ordinals: _containers.RepeatedScalarFieldContainer[int]
    interfaces: _containers.RepeatedCompositeFieldContainer[Interface]
    data: bytes
    def __init__(self, base_time_ns: _Optional[int] = ..., time_deltas_ns: _Optional[_Iterable[int]] = ..., captured: _Optional[_Iterable[int]] = ..., missing: _Optional[_Iterable[int]] = ..., flags: _Optional[_Iterable[int]] = ..., interface_indexes: _Optional[_Iterable[int]] = ..., ordinals: _Optional[_Iterable[int]] = ..., interfaces: _Optional[_Iterable[_Union[Interface, _Mapping]]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("packets_held", "gaps", "drops", "truncated", "config_revision", "midstream", "continued", "payload_hole_bytes")
    PACKETS_HELD_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    DROPS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    CONFIG_REVISION_FIELD_NUMBER: _ClassVar[int]
    MIDSTREAM_FIELD_NUMBER: _ClassVar[int]
    CONTINUED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HOLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    packets_held: int
    gaps: int
    drops: int
    truncated: int
    config_revision: int
    midstream: bool
    continued: bool
    payload_hole_bytes: int
    def __init__(self, packets_held: _Optional[int] = ..., gaps: _Optional[int] = ..., drops: _Optional[int] = ..., truncated: _Optional[int] = ..., config_revision: _Optional[int] = ..., midstream: _Optional[bool] = ..., continued: _Optional[bool] = ..., payload_hole_bytes: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("id", "agent", "epoch", "lane", "number", "capture_point", "scope", "five_tuple", "community_id", "counts", "head", "head_packets", "evidence", "handed_over_time_ns")
    ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_POINT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FIVE_TUPLE_FIELD_NUMBER: _ClassVar[int]
    COMMUNITY_ID_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    HEAD_PACKETS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    HANDED_OVER_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    id: str
    agent: str
    epoch: int
    lane: int
    number: int
    capture_point: str
    scope: Scope
    five_tuple: FiveTuple
    community_id: str
    counts: Counts
    head: Packets
    head_packets: int
    evidence: Evidence
    handed_over_time_ns: int
    def __init__(self, id: _Optional[str] = ..., agent: _Optional[str] = ..., epoch: _Optional[int] = ..., lane: _Optional[int] = ..., number: _Optional[int] = ..., capture_point: _Optional[str] = ..., scope: _Optional[_Union[Scope, _Mapping]] = ..., five_tuple: _Optional[_Union[FiveTuple, _Mapping]] = ..., community_id: _Optional[str] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ..., head: _Optional[_Union[Packets, _Mapping]] = ..., head_packets: _Optional[int] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., handed_over_time_ns: _Optional[int] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("name", "probability")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    probability: float
    def __init__(self, name: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("label", "category", "probability", "unknown", "packets", "top", "model", "model_version", "weak")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    WEAK_FIELD_NUMBER: _ClassVar[int]
    label: str
    category: str
    probability: float
    unknown: bool
    packets: int
    top: _containers.RepeatedCompositeFieldContainer[Label]
    model: str
    model_version: str
    weak: bool
    def __init__(self, label: _Optional[str] = ..., category: _Optional[str] = ..., probability: _Optional[float] = ..., unknown: _Optional[bool] = ..., packets: _Optional[int] = ..., top: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., model: _Optional[str] = ..., model_version: _Optional[str] = ..., weak: _Optional[bool] = ...) -> None: ...

class Handshake(_message.Message):
    __slots__ = ("server_name", "alpn", "tls_version", "ja4", "quic_version", "tls_cipher", "dns_name", "ssh_client", "ssh_server")
    SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
    ALPN_FIELD_NUMBER: _ClassVar[int]
    TLS_VERSION_FIELD_NUMBER: _ClassVar[int]
    JA4_FIELD_NUMBER: _ClassVar[int]
    QUIC_VERSION_FIELD_NUMBER: _ClassVar[int]
    TLS_CIPHER_FIELD_NUMBER: _ClassVar[int]
    DNS_NAME_FIELD_NUMBER: _ClassVar[int]
    SSH_CLIENT_FIELD_NUMBER: _ClassVar[int]
    SSH_SERVER_FIELD_NUMBER: _ClassVar[int]
    server_name: str
    alpn: _containers.RepeatedScalarFieldContainer[str]
    tls_version: str
    ja4: str
    quic_version: str
    tls_cipher: str
    dns_name: str
    ssh_client: str
    ssh_server: str
    def __init__(self, server_name: _Optional[str] = ..., alpn: _Optional[_Iterable[str]] = ..., tls_version: _Optional[str] = ..., ja4: _Optional[str] = ..., quic_version: _Optional[str] = ..., tls_cipher: _Optional[str] = ..., dns_name: _Optional[str] = ..., ssh_client: _Optional[str] = ..., ssh_server: _Optional[str] = ...) -> None: ...

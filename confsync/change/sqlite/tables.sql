-- The tables in which operators keep the configuration, by any SQL client; MariaDB has the same columns. NULL is not set:
-- inherited from the group, then from the daemon's flags. Nothing but names is checked here, for a wrong value must reach
-- confsync, which writes beside it what is wrong. rev and updated_at (UTC) belong to the triggers.
CREATE TABLE IF NOT EXISTS agent_group (
  id               INTEGER PRIMARY KEY,
  name             TEXT    NOT NULL UNIQUE,
  device           TEXT,    -- comma-separated: afpacket:eth0, or eth0
  filter           TEXT,    -- pcap-filter(7)
  collector        TEXT,    -- comma-separated: host:port
  head_packets     INTEGER,
  payload_bytes    INTEGER,
  snap_length      INTEGER,
  enabled          INTEGER, -- 0: no capture
  spool_bytes      INTEGER,
  flow_table_bytes INTEGER,
  vxlan_ports      TEXT,    -- comma-separated; '': none
  geneve_ports     TEXT,
  gtp_u_ports      TEXT,
  teredo_ports     TEXT,
  rev              INTEGER NOT NULL DEFAULT 0,
  updated_at       TEXT
);

CREATE TABLE IF NOT EXISTS agent_config (
  id               INTEGER PRIMARY KEY,
  name             TEXT    NOT NULL UNIQUE, -- the id in the agent's certificate
  group_name       TEXT,
  device           TEXT,
  filter           TEXT,
  collector        TEXT,
  head_packets     INTEGER,
  payload_bytes    INTEGER,
  snap_length      INTEGER,
  enabled          INTEGER,
  spool_bytes      INTEGER,
  flow_table_bytes INTEGER,
  vxlan_ports      TEXT,
  geneve_ports     TEXT,
  gtp_u_ports      TEXT,
  teredo_ports     TEXT,
  rev              INTEGER NOT NULL DEFAULT 0,
  updated_at       TEXT
);

CREATE TABLE IF NOT EXISTS service_config (
  id                    INTEGER PRIMARY KEY,
  role                  TEXT    NOT NULL, -- collector or inference
  name                  TEXT    NOT NULL DEFAULT 'default',
  hand_over_deadline_ms INTEGER,
  session_bytes         INTEGER,
  keep_results_seconds  INTEGER,
  keep_packets_seconds  INTEGER,
  model                 TEXT,
  model_version         TEXT,
  shadow_version        TEXT,
  canary_version        TEXT,
  canary_percent        INTEGER,
  vxlan_ports           TEXT,
  geneve_ports          TEXT,
  gtp_u_ports           TEXT,
  teredo_ports          TEXT,
  rev                   INTEGER NOT NULL DEFAULT 0,
  updated_at            TEXT,
  UNIQUE (role, name)
);

-- Results, the heads they rest on, corrections, and the ledger. Columns beside body are those that can be filtered or joined; body is
-- the whole sonde.query.v1.Result. Addresses are 16 bytes, IPv4 mapped into IPv6, so that a prefix is a range. Session ids
-- begin with the time, so rows come in nearly in order and a time is a range of ids. There is no index on what comes in no
-- order, such as the community id: each session would write another page of it, as much again as all the rest.
CREATE TABLE IF NOT EXISTS results (
  session_id     TEXT PRIMARY KEY,
  agent          TEXT    NOT NULL,
  epoch          INTEGER NOT NULL,
  lane           INTEGER NOT NULL,
  capture_point  TEXT    NOT NULL,
  community_id   TEXT    NOT NULL,
  start_ns       INTEGER NOT NULL,
  ip_protocol    INTEGER NOT NULL,
  client_address BLOB    NOT NULL,
  client_port    INTEGER NOT NULL,
  server_address BLOB    NOT NULL,
  server_port    INTEGER NOT NULL,
  state          INTEGER NOT NULL,
  label          TEXT    NOT NULL,
  category       TEXT    NOT NULL,
  probability    REAL    NOT NULL,
  unknown        INTEGER NOT NULL,
  server_name    TEXT    NOT NULL,
  ended          INTEGER NOT NULL,
  body           BLOB    NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS results_by_label ON results (label, session_id);
CREATE INDEX IF NOT EXISTS results_open ON results (agent, epoch) WHERE ended = 0;

-- Failed ones (3) are few, and looked for each hour to be tried again.
CREATE INDEX IF NOT EXISTS results_failed ON results (session_id) WHERE state = 3;

-- With row ids, because SQLite keeps large rows whole only in such a table.
CREATE TABLE IF NOT EXISTS heads (
  session_id TEXT PRIMARY KEY,
  packets    BLOB NOT NULL
);

-- What people said that sessions really were; body is the whole sonde.query.v1.Correction. A result's corrected label is
-- looked up here. Numbers grow with every correction and are never used again, for they are the tokens of pages.
CREATE TABLE IF NOT EXISTS corrections (
  number     INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id TEXT NOT NULL UNIQUE,
  label      TEXT NOT NULL,
  body       BLOB NOT NULL
);

CREATE INDEX IF NOT EXISTS corrections_by_label ON corrections (label, session_id);

-- What the results of each lane add up to, moved in the transaction that changes a result.
CREATE TABLE IF NOT EXISTS lane_totals (
  agent    TEXT    NOT NULL,
  epoch    INTEGER NOT NULL,
  lane     INTEGER NOT NULL,
  sessions INTEGER NOT NULL,
  packets  INTEGER NOT NULL,
  PRIMARY KEY (agent, epoch, lane)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS ledger (
  agent   TEXT    NOT NULL,
  epoch   INTEGER NOT NULL,
  lane    INTEGER NOT NULL,
  durable INTEGER NOT NULL,
  closed  INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  PRIMARY KEY (agent, epoch, lane)
) WITHOUT ROWID;

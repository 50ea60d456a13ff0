-- What is confsync's own: the feed of changes, the id of this database, and what became of each configuration.

-- Newest last; a number is never given twice (AUTOINCREMENT), so a row's rev, which is the number of its last change,
-- grows also over delete and insert.
CREATE TABLE IF NOT EXISTS config_change (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  tbl TEXT    NOT NULL,
  id  INTEGER NOT NULL,
  op  TEXT    NOT NULL,
  at  TEXT    NOT NULL
);

CREATE TABLE IF NOT EXISTS config_meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS agent_status (
  role             TEXT    NOT NULL,
  name             TEXT    NOT NULL,
  state            TEXT    NOT NULL, -- APPLYING, APPLIED or FAILED
  revision_wanted  INTEGER NOT NULL,
  revision_running INTEGER NOT NULL,
  hash             TEXT    NOT NULL, -- of what runs
  error            TEXT    NOT NULL,
  field            TEXT    NOT NULL,
  warning          TEXT    NOT NULL,
  latency_ms       INTEGER,          -- from the row's change to in force
  from_cache       INTEGER NOT NULL,
  boot_id          TEXT    NOT NULL,
  version          TEXT    NOT NULL,
  status_time      TEXT    NOT NULL, -- UTC
  PRIMARY KEY (role, name)
);

CREATE TABLE IF NOT EXISTS agent_history (
  id          INTEGER PRIMARY KEY,
  role        TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  revision    INTEGER NOT NULL,
  state       TEXT    NOT NULL,
  error       TEXT    NOT NULL,
  field       TEXT    NOT NULL,
  latency_ms  INTEGER,
  hash        TEXT    NOT NULL,
  status_time TEXT    NOT NULL,
  UNIQUE (role, name, revision, state)
);

CREATE INDEX IF NOT EXISTS agent_history_by_name ON agent_history (role, name, id);

-- schema 1.0

CREATE TABLE headrace_meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE migrations (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied REAL NOT NULL
);

CREATE TABLE revision (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  revision INTEGER NOT NULL,
  floor INTEGER NOT NULL
);

INSERT INTO revision (one, revision, floor) VALUES (1, 0, 0);

CREATE TABLE objects (
  kind TEXT NOT NULL,
  id INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  name TEXT NOT NULL DEFAULT '',
  parent INTEGER NOT NULL DEFAULT 0,
  spec TEXT NOT NULL DEFAULT '{}',
  sealed TEXT NOT NULL DEFAULT '',
  private TEXT NOT NULL DEFAULT '',
  created REAL NOT NULL,
  updated REAL NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, id)
);

CREATE UNIQUE INDEX objects_name ON objects (kind, name) WHERE deleted = 0 AND name <> '';

CREATE UNIQUE INDEX objects_revision ON objects (revision);

CREATE INDEX objects_parent ON objects (kind, parent);

CREATE INDEX objects_deleted ON objects (updated) WHERE deleted = 1;

CREATE TABLE peppers (
  id TEXT PRIMARY KEY,
  sealed TEXT NOT NULL,
  created REAL NOT NULL
);

CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  password TEXT NOT NULL DEFAULT '',
  role TEXT NOT NULL,
  team TEXT NOT NULL DEFAULT '',
  enabled INTEGER NOT NULL DEFAULT 1,
  created REAL NOT NULL,
  updated REAL NOT NULL,
  changed REAL NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id INTEGER NOT NULL,
  csrf TEXT NOT NULL,
  created REAL NOT NULL,
  seen REAL NOT NULL,
  expires REAL NOT NULL,
  peer TEXT NOT NULL DEFAULT '',
  agent TEXT NOT NULL DEFAULT ''
);

CREATE INDEX sessions_user ON sessions (user_id);

CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL UNIQUE,
  pepper TEXT NOT NULL,
  last4 TEXT NOT NULL,
  role TEXT NOT NULL,
  scopes TEXT,
  team TEXT NOT NULL DEFAULT '',
  created REAL NOT NULL,
  expires REAL,
  enabled INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE login_failures (
  account TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  until REAL NOT NULL DEFAULT 0,
  at REAL NOT NULL
);

CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  principal TEXT NOT NULL,
  peer TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL DEFAULT '',
  action TEXT NOT NULL,
  kind TEXT NOT NULL DEFAULT '',
  object INTEGER,
  name TEXT NOT NULL DEFAULT '',
  before TEXT,
  after TEXT,
  revision INTEGER
);

CREATE INDEX audit_at ON audit (at);

CREATE INDEX audit_object ON audit (kind, object);

CREATE TRIGGER audit_is_appended_to BEFORE UPDATE ON audit
BEGIN
  SELECT raise(ABORT, 'the audit log is not rewritten');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
  SELECT raise(ABORT, 'the audit log is not rewritten');
END;

CREATE TABLE workers (
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  name TEXT NOT NULL DEFAULT '',
  revision INTEGER NOT NULL DEFAULT 0,
  config TEXT NOT NULL DEFAULT '',
  problem TEXT NOT NULL DEFAULT '',
  seen REAL NOT NULL,
  PRIMARY KEY (host, pid)
);

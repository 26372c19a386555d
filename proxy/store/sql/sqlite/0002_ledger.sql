-- schema 1.1

-- What was asked. NULL: not known, never 0. Phase 1 has begun, 2 goes on, 3 is over.
CREATE TABLE requests (
  rid TEXT NOT NULL,
  phase INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  at REAL NOT NULL,
  progressed REAL NOT NULL DEFAULT 0,
  booked REAL NOT NULL DEFAULT 0,
  key_id TEXT NOT NULL DEFAULT '',
  key TEXT NOT NULL DEFAULT '',
  team TEXT NOT NULL DEFAULT '',
  owner TEXT NOT NULL DEFAULT '',
  route TEXT NOT NULL DEFAULT '',
  operation TEXT NOT NULL DEFAULT '',
  dialect TEXT NOT NULL DEFAULT '',
  stream INTEGER NOT NULL DEFAULT 0,
  asked TEXT NOT NULL DEFAULT '',
  model TEXT NOT NULL DEFAULT '',
  deployment TEXT NOT NULL DEFAULT '',
  provider TEXT NOT NULL DEFAULT '',
  upstream_model TEXT NOT NULL DEFAULT '',
  status INTEGER NOT NULL DEFAULT 0,
  outcome TEXT NOT NULL DEFAULT '',
  cause TEXT NOT NULL DEFAULT '',
  finish TEXT NOT NULL DEFAULT '',
  queue_ms REAL,
  connect_ms REAL,
  ttft_ms REAL,
  total_ms REAL,
  overhead_ms REAL,
  input INTEGER NOT NULL DEFAULT 0,
  cache_read INTEGER NOT NULL DEFAULT 0,
  cache_write INTEGER NOT NULL DEFAULT 0,
  cache_write_1h INTEGER NOT NULL DEFAULT 0,
  output INTEGER NOT NULL DEFAULT 0,
  reasoning INTEGER NOT NULL DEFAULT 0,
  audio_input INTEGER NOT NULL DEFAULT 0,
  audio_output INTEGER NOT NULL DEFAULT 0,
  images INTEGER NOT NULL DEFAULT 0,
  seconds REAL NOT NULL DEFAULT 0,
  source TEXT NOT NULL DEFAULT 'none',
  cost INTEGER,
  estimate INTEGER,
  cost_upstream INTEGER,
  bytes_in INTEGER NOT NULL DEFAULT 0,
  bytes_out INTEGER NOT NULL DEFAULT 0,
  client TEXT NOT NULL DEFAULT '',
  user_agent TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (rid)
);

CREATE INDEX requests_at ON requests (at, rid);

CREATE INDEX requests_key ON requests (key_id, at);

CREATE INDEX requests_team ON requests (team, at) WHERE team <> '';

CREATE INDEX requests_model ON requests (model, at);

CREATE INDEX requests_failed ON requests (at, rid) WHERE status >= 400;

CREATE INDEX requests_open ON requests (at, rid) WHERE phase < 3;

CREATE TABLE attempts (
  rid TEXT NOT NULL,
  number INTEGER NOT NULL,
  deployment TEXT NOT NULL DEFAULT '',
  provider TEXT NOT NULL DEFAULT '',
  credential TEXT NOT NULL DEFAULT '',
  upstream_model TEXT NOT NULL DEFAULT '',
  dialect TEXT NOT NULL DEFAULT '',
  status INTEGER NOT NULL DEFAULT 0,
  outcome TEXT NOT NULL DEFAULT '',
  cause TEXT NOT NULL DEFAULT '',
  started_ms REAL,
  connect_ms REAL,
  ttft_ms REAL,
  total_ms REAL,
  cost INTEGER,
  PRIMARY KEY (rid, number)
);

CREATE TABLE contents (
  rid TEXT NOT NULL,
  at REAL NOT NULL,
  request TEXT NOT NULL DEFAULT '',
  response TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (rid)
);

CREATE INDEX contents_at ON contents (at);

-- A sum that no longer fits would silently become a float.
CREATE TABLE counters (
  subject TEXT NOT NULL,
  "window" INTEGER NOT NULL,
  host TEXT NOT NULL,
  ends INTEGER NOT NULL DEFAULT 0,
  requests INTEGER NOT NULL DEFAULT 0 CHECK (typeof(requests) = 'integer'),
  tokens INTEGER NOT NULL DEFAULT 0 CHECK (typeof(tokens) = 'integer'),
  micro INTEGER NOT NULL DEFAULT 0 CHECK (typeof(micro) = 'integer'),
  PRIMARY KEY (subject, "window", host)
);

CREATE INDEX counters_ends ON counters (ends);

CREATE TABLE adjustments (
  rid TEXT NOT NULL,
  at REAL NOT NULL,
  subject TEXT NOT NULL,
  "window" INTEGER NOT NULL,
  requests INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  micro INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rid)
);

CREATE INDEX adjustments_at ON adjustments (at);

-- Sums of a minute (span 60) and of an hour (3600). The bounds of ttft_* and total_* are in store/ledger/buckets.py.
CREATE TABLE statistics (
  bucket INTEGER NOT NULL,
  span INTEGER NOT NULL,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  deployment TEXT NOT NULL,
  key_id TEXT NOT NULL,
  key TEXT NOT NULL,
  team TEXT NOT NULL,
  requests INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  client_gone INTEGER NOT NULL DEFAULT 0,
  input INTEGER NOT NULL DEFAULT 0 CHECK (typeof(input) = 'integer'),
  cache_read INTEGER NOT NULL DEFAULT 0,
  cache_write INTEGER NOT NULL DEFAULT 0,
  output INTEGER NOT NULL DEFAULT 0 CHECK (typeof(output) = 'integer'),
  reasoning INTEGER NOT NULL DEFAULT 0,
  cost INTEGER NOT NULL DEFAULT 0 CHECK (typeof(cost) = 'integer'),
  cost_upstream INTEGER NOT NULL DEFAULT 0 CHECK (typeof(cost_upstream) = 'integer'),
  unknown_cost INTEGER NOT NULL DEFAULT 0,
  estimated INTEGER NOT NULL DEFAULT 0,
  ttft_sum REAL NOT NULL DEFAULT 0,
  total_sum REAL NOT NULL DEFAULT 0,
  ttft_0 INTEGER NOT NULL DEFAULT 0,
  ttft_1 INTEGER NOT NULL DEFAULT 0,
  ttft_2 INTEGER NOT NULL DEFAULT 0,
  ttft_3 INTEGER NOT NULL DEFAULT 0,
  ttft_4 INTEGER NOT NULL DEFAULT 0,
  ttft_5 INTEGER NOT NULL DEFAULT 0,
  ttft_6 INTEGER NOT NULL DEFAULT 0,
  ttft_7 INTEGER NOT NULL DEFAULT 0,
  ttft_8 INTEGER NOT NULL DEFAULT 0,
  ttft_9 INTEGER NOT NULL DEFAULT 0,
  ttft_10 INTEGER NOT NULL DEFAULT 0,
  ttft_11 INTEGER NOT NULL DEFAULT 0,
  ttft_12 INTEGER NOT NULL DEFAULT 0,
  ttft_13 INTEGER NOT NULL DEFAULT 0,
  ttft_14 INTEGER NOT NULL DEFAULT 0,
  ttft_15 INTEGER NOT NULL DEFAULT 0,
  ttft_16 INTEGER NOT NULL DEFAULT 0,
  total_0 INTEGER NOT NULL DEFAULT 0,
  total_1 INTEGER NOT NULL DEFAULT 0,
  total_2 INTEGER NOT NULL DEFAULT 0,
  total_3 INTEGER NOT NULL DEFAULT 0,
  total_4 INTEGER NOT NULL DEFAULT 0,
  total_5 INTEGER NOT NULL DEFAULT 0,
  total_6 INTEGER NOT NULL DEFAULT 0,
  total_7 INTEGER NOT NULL DEFAULT 0,
  total_8 INTEGER NOT NULL DEFAULT 0,
  total_9 INTEGER NOT NULL DEFAULT 0,
  total_10 INTEGER NOT NULL DEFAULT 0,
  total_11 INTEGER NOT NULL DEFAULT 0,
  total_12 INTEGER NOT NULL DEFAULT 0,
  total_13 INTEGER NOT NULL DEFAULT 0,
  total_14 INTEGER NOT NULL DEFAULT 0,
  total_15 INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (span, bucket, model, provider, deployment, key_id, key, team)
);

-- schema 1.1

-- What was asked. NULL: not known, never 0. Phase 1 has begun, 2 goes on, 3 is over.
CREATE TABLE requests (
  rid text NOT NULL,
  phase bigint NOT NULL,
  attempt bigint NOT NULL DEFAULT 0,
  at double precision NOT NULL,
  progressed double precision NOT NULL DEFAULT 0,
  booked double precision NOT NULL DEFAULT 0,
  key_id text NOT NULL DEFAULT '',
  key text NOT NULL DEFAULT '',
  team text NOT NULL DEFAULT '',
  owner text NOT NULL DEFAULT '',
  route text NOT NULL DEFAULT '',
  operation text NOT NULL DEFAULT '',
  dialect text NOT NULL DEFAULT '',
  stream bigint NOT NULL DEFAULT 0,
  asked text NOT NULL DEFAULT '',
  model text NOT NULL DEFAULT '',
  deployment text NOT NULL DEFAULT '',
  provider text NOT NULL DEFAULT '',
  upstream_model text NOT NULL DEFAULT '',
  status bigint NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '',
  cause text NOT NULL DEFAULT '',
  finish text NOT NULL DEFAULT '',
  queue_ms double precision,
  connect_ms double precision,
  ttft_ms double precision,
  total_ms double precision,
  overhead_ms double precision,
  input bigint NOT NULL DEFAULT 0,
  cache_read bigint NOT NULL DEFAULT 0,
  cache_write bigint NOT NULL DEFAULT 0,
  cache_write_1h bigint NOT NULL DEFAULT 0,
  output bigint NOT NULL DEFAULT 0,
  reasoning bigint NOT NULL DEFAULT 0,
  audio_input bigint NOT NULL DEFAULT 0,
  audio_output bigint NOT NULL DEFAULT 0,
  images bigint NOT NULL DEFAULT 0,
  seconds double precision NOT NULL DEFAULT 0,
  source text NOT NULL DEFAULT 'none',
  cost bigint,
  estimate bigint,
  cost_upstream bigint,
  bytes_in bigint NOT NULL DEFAULT 0,
  bytes_out bigint NOT NULL DEFAULT 0,
  client text NOT NULL DEFAULT '',
  user_agent text NOT NULL DEFAULT '',
  PRIMARY KEY (rid)
);

CREATE INDEX requests_at ON requests (at, rid);

CREATE INDEX requests_key ON requests (key_id, at);

CREATE INDEX requests_team ON requests (team, at) WHERE team <> '';

CREATE INDEX requests_model ON requests (model, at);

CREATE INDEX requests_failed ON requests (at, rid) WHERE status >= 400;

CREATE INDEX requests_open ON requests (at, rid) WHERE phase < 3;

CREATE TABLE attempts (
  rid text NOT NULL,
  number bigint NOT NULL,
  deployment text NOT NULL DEFAULT '',
  provider text NOT NULL DEFAULT '',
  credential text NOT NULL DEFAULT '',
  upstream_model text NOT NULL DEFAULT '',
  dialect text NOT NULL DEFAULT '',
  status bigint NOT NULL DEFAULT 0,
  outcome text NOT NULL DEFAULT '',
  cause text NOT NULL DEFAULT '',
  started_ms double precision,
  connect_ms double precision,
  ttft_ms double precision,
  total_ms double precision,
  cost bigint,
  PRIMARY KEY (rid, number)
);

CREATE TABLE contents (
  rid text NOT NULL,
  at double precision NOT NULL,
  request text NOT NULL DEFAULT '',
  response text NOT NULL DEFAULT '',
  PRIMARY KEY (rid)
);

CREATE INDEX contents_at ON contents (at);

-- Room in each page for the next version of a row: what is counted changes all the time.
CREATE TABLE counters (
  subject text NOT NULL,
  "window" bigint NOT NULL,
  host text NOT NULL,
  ends bigint NOT NULL DEFAULT 0,
  requests bigint NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  micro bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (subject, "window", host)
) WITH (fillfactor = 80);

CREATE INDEX counters_ends ON counters (ends);

CREATE TABLE adjustments (
  rid text NOT NULL,
  at double precision NOT NULL,
  subject text NOT NULL,
  "window" bigint NOT NULL,
  requests bigint NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  micro bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (rid)
);

CREATE INDEX adjustments_at ON adjustments (at);

-- Sums of a minute (span 60) and of an hour (3600). The bounds of ttft_* and total_* are in store/ledger/buckets.py.
CREATE TABLE statistics (
  bucket bigint NOT NULL,
  span bigint NOT NULL,
  model text NOT NULL,
  provider text NOT NULL,
  deployment text NOT NULL,
  key_id text NOT NULL,
  key text NOT NULL,
  team text NOT NULL,
  requests bigint NOT NULL DEFAULT 0,
  succeeded bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  client_gone bigint NOT NULL DEFAULT 0,
  input bigint NOT NULL DEFAULT 0,
  cache_read bigint NOT NULL DEFAULT 0,
  cache_write bigint NOT NULL DEFAULT 0,
  output bigint NOT NULL DEFAULT 0,
  reasoning bigint NOT NULL DEFAULT 0,
  cost bigint NOT NULL DEFAULT 0,
  cost_upstream bigint NOT NULL DEFAULT 0,
  unknown_cost bigint NOT NULL DEFAULT 0,
  estimated bigint NOT NULL DEFAULT 0,
  ttft_sum double precision NOT NULL DEFAULT 0,
  total_sum double precision NOT NULL DEFAULT 0,
  ttft_0 bigint NOT NULL DEFAULT 0,
  ttft_1 bigint NOT NULL DEFAULT 0,
  ttft_2 bigint NOT NULL DEFAULT 0,
  ttft_3 bigint NOT NULL DEFAULT 0,
  ttft_4 bigint NOT NULL DEFAULT 0,
  ttft_5 bigint NOT NULL DEFAULT 0,
  ttft_6 bigint NOT NULL DEFAULT 0,
  ttft_7 bigint NOT NULL DEFAULT 0,
  ttft_8 bigint NOT NULL DEFAULT 0,
  ttft_9 bigint NOT NULL DEFAULT 0,
  ttft_10 bigint NOT NULL DEFAULT 0,
  ttft_11 bigint NOT NULL DEFAULT 0,
  ttft_12 bigint NOT NULL DEFAULT 0,
  ttft_13 bigint NOT NULL DEFAULT 0,
  ttft_14 bigint NOT NULL DEFAULT 0,
  ttft_15 bigint NOT NULL DEFAULT 0,
  ttft_16 bigint NOT NULL DEFAULT 0,
  total_0 bigint NOT NULL DEFAULT 0,
  total_1 bigint NOT NULL DEFAULT 0,
  total_2 bigint NOT NULL DEFAULT 0,
  total_3 bigint NOT NULL DEFAULT 0,
  total_4 bigint NOT NULL DEFAULT 0,
  total_5 bigint NOT NULL DEFAULT 0,
  total_6 bigint NOT NULL DEFAULT 0,
  total_7 bigint NOT NULL DEFAULT 0,
  total_8 bigint NOT NULL DEFAULT 0,
  total_9 bigint NOT NULL DEFAULT 0,
  total_10 bigint NOT NULL DEFAULT 0,
  total_11 bigint NOT NULL DEFAULT 0,
  total_12 bigint NOT NULL DEFAULT 0,
  total_13 bigint NOT NULL DEFAULT 0,
  total_14 bigint NOT NULL DEFAULT 0,
  total_15 bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (span, bucket, model, provider, deployment, key_id, key, team)
) WITH (fillfactor = 80);

-- The nodes that share the queue. A row of work belongs to a node while it names the node's
-- number and its epoch; the epoch grows when others take from a node what it held.
CREATE TABLE puerto.node (
  number smallint PRIMARY KEY CHECK (number BETWEEN 1 AND 255),
  name text NOT NULL UNIQUE,
  epoch bigint NOT NULL,
  alive boolean NOT NULL,
  -- Milliseconds since 1970, by this server's clock, as all times here.
  lease_until bigint NOT NULL,
  since bigint NOT NULL,
  seen bigint NOT NULL,
  -- The node gives no id that is not greater.
  last_id bigint NOT NULL,
  version text NOT NULL
) WITH (fillfactor = 50);

-- Messages, with what is said of them once. Content of more than 1 MiB is in chunks.
CREATE TABLE puerto.message (
  id bigint PRIMARY KEY,
  common bytea NOT NULL,
  size bigint NOT NULL,
  recipients integer NOT NULL,
  parts integer NOT NULL,
  -- Recipients that are not done.
  open integer NOT NULL,
  held boolean NOT NULL DEFAULT false,
  delay_noted boolean NOT NULL DEFAULT false,
  content bytea
) WITH (
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0.01,
  toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_cost_delay = 0);
ALTER TABLE puerto.message ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE puerto.chunk (
  id bigint NOT NULL,
  n integer NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (id, n)
) WITH (
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 100,
  autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_scale_factor = 0.01,
  toast.autovacuum_vacuum_threshold = 100, toast.autovacuum_vacuum_cost_delay = 0);
ALTER TABLE puerto.chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- The work: a row for each message and domain.
CREATE TABLE puerto.work (
  id bigint NOT NULL,
  -- The place of its first recipient in the envelope.
  place integer NOT NULL,
  domain text COLLATE "C" NOT NULL,
  due bigint NOT NULL,
  tried boolean NOT NULL DEFAULT false,
  open integer NOT NULL,
  held boolean NOT NULL DEFAULT false,
  owner smallint,
  epoch bigint NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  -- No recipient is due later than this, whatever its state says: somebody asked for it.
  ceiling bigint,
  recipients bytea NOT NULL,
  -- How each of them stands; none: all are due, and nobody has tried.
  state bytea,
  PRIMARY KEY (id, place)
) WITH (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);

-- What can be claimed: when the next is due, and whose turn it is in a domain.
CREATE INDEX work_due ON puerto.work (due) WHERE owner IS NULL AND open > 0 AND NOT held;
CREATE INDEX work_domain ON puerto.work (domain, tried, due, id)
  WHERE owner IS NULL AND open > 0 AND NOT held;
-- What is somebody's: few rows, looked at when a node has died.
CREATE INDEX work_owner ON puerto.work (owner, epoch) WHERE owner IS NOT NULL;

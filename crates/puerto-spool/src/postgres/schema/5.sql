-- What the nodes have noted about messages, for a while after these are gone. A row is what
-- one node gathered in a moment, about many messages. What is asked for is looked for in all
-- rows: that is seldom, and an index over ids and keys would cost each message more than all
-- else of this.
CREATE TABLE puerto.note (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  -- Octets of all of it, about.
  size integer NOT NULL,
  -- For each note its message, and where it is in the octets.
  ids bigint[] NOT NULL,
  starts integer[] NOT NULL,
  lengths integer[] NOT NULL,
  -- By what messages are found besides, and which they are.
  keys bigint[] NOT NULL,
  key_ids bigint[] NOT NULL,
  octets bytea NOT NULL
) WITH (
  -- The octets stay out of the way of whoever looks through the rest.
  toast_tuple_target = 128,
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
ALTER TABLE puerto.note ALTER COLUMN octets SET STORAGE EXTERNAL,
  ALTER COLUMN ids SET STORAGE MAIN, ALTER COLUMN starts SET STORAGE MAIN,
  ALTER COLUMN lengths SET STORAGE MAIN, ALTER COLUMN keys SET STORAGE MAIN,
  ALTER COLUMN key_ids SET STORAGE MAIN;

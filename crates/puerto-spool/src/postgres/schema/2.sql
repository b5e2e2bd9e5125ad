-- What was changed of messages that a node has: it looks at them by itself, however little
-- it was told. Rows are kept until all that was on its way into its hand must be there.
CREATE TABLE puerto.changed (
  node smallint NOT NULL,
  id bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (node, id)
) WITH (
  fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_cost_delay = 0);

-- What is wrong with a row that cannot be read: it is held, so that nobody claims it.
ALTER TABLE puerto.work ADD COLUMN damaged text;
CREATE INDEX work_damaged ON puerto.work (id) WHERE damaged IS NOT NULL;

-- Whether a message goes to many, and others before it. What came before this was known is
-- taken for the rest.
ALTER TABLE puerto.work ADD COLUMN bulk boolean NOT NULL DEFAULT false;
DROP INDEX puerto.work_domain;
CREATE INDEX work_domain ON puerto.work (domain, bulk, tried, due, id)
  WHERE owner IS NULL AND open > 0 AND NOT held;

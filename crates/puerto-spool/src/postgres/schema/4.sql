-- What an administrator has ordered for all nodes until it is taken back: pauses, holds, other
-- routes. There are a few, and each node reads all of them every few seconds.
CREATE TABLE puerto.standing_order (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  said text NOT NULL
);

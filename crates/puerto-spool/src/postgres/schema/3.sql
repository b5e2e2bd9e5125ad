-- Why a message was committed held, if it has been so ever since.
ALTER TABLE puerto.message ADD COLUMN held_for bytea;

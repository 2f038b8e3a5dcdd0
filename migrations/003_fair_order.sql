-- The fair order: a batch is a set, ascending by id, and the order of execution comes with its reveal.

-- Where the ciphertext stands in the order of execution of its batch, from 0.
ALTER TABLE openings ADD COLUMN place bigint NOT NULL CHECK (place >= 0);
ALTER TABLE openings ADD CONSTRAINT openings_place UNIQUE (height, place);

-- What blocks said for the order beside their batches: the members' head statements, and ciphertexts that were
-- decided and not executed.
CREATE TABLE rounds (
    height  bigint  PRIMARY KEY,
    section bytea,
    aside   bytea[] NOT NULL,
    CHECK (section IS NOT NULL OR cardinality(aside) > 0)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rounds FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Ciphertexts that were decided and could not be executed any more, and why.
CREATE TABLE dropped (
    id          bytea  PRIMARY KEY CHECK (octet_length(id) = 32),
    height      bigint NOT NULL,
    valid_until bigint NOT NULL,
    code        text   NOT NULL
);
CREATE INDEX dropped_valid_until ON dropped (valid_until);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dropped FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the receive logs said about the ciphertexts of a batch.
CREATE TABLE frames (
    height bigint PRIMARY KEY,
    frames bytea  NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON frames FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Where the receive log goes on after it was lost: the chain has committed it up to here.
CREATE TABLE receive_base (
    position bigint PRIMARY KEY CHECK (position > 0),
    head     bytea  NOT NULL CHECK (octet_length(head) = 32)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON receive_base FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the log's publication needs beside the log; docs/spec/log.md.

-- Ceremony certificates, which committee entries name by their hash.
CREATE TABLE certificates (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    body bytea NOT NULL
);
ALTER TABLE certificates ALTER COLUMN body SET STORAGE EXTERNAL;

-- The tree heads at which a block ended: what this member may sign. One root for a size, for ever.
CREATE TABLE log_checkpoints (
    size   bigint PRIMARY KEY CHECK (size > 0),
    root   bytea  NOT NULL CHECK (octet_length(root) = 32),
    height bigint NOT NULL UNIQUE
);

-- Signature lines of others, and this member's own cosignatures, on checkpoints.
CREATE TABLE log_signatures (
    size   bigint NOT NULL REFERENCES log_checkpoints,
    name   text   COLLATE "C" NOT NULL,
    key_id bigint NOT NULL,
    data   bytea  NOT NULL,
    PRIMARY KEY (size, name, key_id)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON certificates    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_signatures  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

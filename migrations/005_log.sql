-- What the log's publication needs beside the log; docs/spec/log.md.

-- The log of a chain that was begun before has other entries, and heads that were not kept.
DO $$ BEGIN
    IF EXISTS (SELECT FROM chain) THEN
        RAISE EXCEPTION 'the database holds a chain of a version of Scrim whose log was not published; begin a new chain, and give the node an empty database'
            USING ERRCODE = 'feature_not_supported';
    END IF;
END $$;

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

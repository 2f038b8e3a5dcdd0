-- Evidence that misbehaviour entries of the log name; docs/spec/log.md.

-- The state of a chain that was begun before has no charges, and its snapshot is of another version.
DO $$ BEGIN
    IF EXISTS (SELECT FROM chain) THEN
        RAISE EXCEPTION 'the database holds a chain of a version of Scrim whose blocks recorded no misbehaviour; begin a new chain, and give the node an empty database'
            USING ERRCODE = 'feature_not_supported';
    END IF;
END $$;

-- The same at every node, in the block's transaction; what only this node has seen is in evidence.
CREATE TABLE recorded_evidence (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    body bytea NOT NULL
);
ALTER TABLE recorded_evidence ALTER COLUMN body SET STORAGE EXTERNAL;

-- A node looks for what it has not told the others yet by what it is about.
CREATE INDEX evidence_about ON evidence (epoch, member, kind, number);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recorded_evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

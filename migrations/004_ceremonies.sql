-- Every ceremony that has ended, also those that the state of the chain has forgotten.

-- Of a chain that was begun before, the ceremonies that are over would be missing for ever.
DO $$ BEGIN
    IF EXISTS (SELECT FROM chain) THEN
        RAISE EXCEPTION 'the database holds a chain of a version of Scrim that kept no ended ceremonies; give the node an empty database, into which it replays its blocks, or begin a new chain'
            USING ERRCODE = 'feature_not_supported';
    END IF;
END $$;

CREATE TABLE ceremonies (
    id             bytea  PRIMARY KEY CHECK (octet_length(id) = 32), -- hash of the terms
    epoch          bigint NOT NULL,
    attempt        bigint NOT NULL CHECK (attempt > 0),
    height         bigint NOT NULL CHECK (height > 0), -- of the block in which it ended
    outcome        text   NOT NULL CHECK (outcome IN ('active', 'failed', 'aborted', 'rejected')),
    change         text   NOT NULL,
    previous_epoch bigint, -- of the committee that hands over; null for a first key
    overlap        bigint NOT NULL,
    threshold      bigint NOT NULL CHECK (threshold > 0),
    members        bigint NOT NULL CHECK (members >= threshold),
    start_height   bigint NOT NULL,
    state          bytea  NOT NULL, -- keygen.State: all that was said, and who is to blame
    UNIQUE (epoch, attempt) -- their order in time
);
ALTER TABLE ceremonies ALTER COLUMN state SET STORAGE EXTERNAL; -- it does not compress
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ceremonies FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Committees follow one another: what a member says counts in the epoch of its committee.

-- A chain that was begun before cannot go on: its state has another form, and its receipts no epoch.
DO $$ BEGIN
    IF EXISTS (SELECT FROM chain) THEN
        RAISE EXCEPTION 'the database holds a chain of a version of Scrim from before committees could change; give the node an empty database, into which it replays its blocks, or begin a new chain'
            USING ERRCODE = 'feature_not_supported';
    END IF;
END $$;

-- The committees that the chain has had. The certificate is also in the log entry.
CREATE TABLE committees (
    epoch       bigint PRIMARY KEY,
    since       bigint NOT NULL UNIQUE CHECK (since > 0), -- height of the block that put it in office
    change      text   NOT NULL,
    threshold   bigint NOT NULL CHECK (threshold > 0),
    members     bigint NOT NULL CHECK (members >= threshold),
    key_id      bytea  NOT NULL CHECK (octet_length(key_id) = 32),
    terms_hash  bytea  NOT NULL CHECK (octet_length(terms_hash) = 32),
    log_index   bigint NOT NULL,
    certificate bytea  NOT NULL
);
ALTER TABLE committees ALTER COLUMN certificate SET STORAGE EXTERNAL; -- it does not compress
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON committees FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- As whom the member received: the receipt says so, and must say the same again.
ALTER TABLE received ADD COLUMN epoch bigint NOT NULL, ADD COLUMN member bigint NOT NULL CHECK (member > 0);

-- In which epoch the member of the evidence counts.
ALTER TABLE evidence ADD COLUMN epoch bigint NOT NULL;

-- One member's database. What each table is for, and who writes it: docs/spec/postgres.md.

-- Where the chain is: one row, moved on by each block.
CREATE TABLE chain (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    chain_id     text    NOT NULL,
    genesis_hash bytea   NOT NULL CHECK (octet_length(genesis_hash) = 32),
    height       bigint  NOT NULL CHECK (height >= 0),
    app_hash     bytea   NOT NULL CHECK (octet_length(app_hash) = 32),
    snapshot     bytea   NOT NULL,
    ceremony     bytea   NOT NULL,
    log_size     bigint  NOT NULL DEFAULT 0,
    ordered      bigint  NOT NULL DEFAULT 0,
    revealed     bigint  NOT NULL DEFAULT 0,
    voids        bigint  NOT NULL DEFAULT 0
);

CREATE TABLE blocks (
    height   bigint PRIMARY KEY,
    app_hash bytea  NOT NULL CHECK (octet_length(app_hash) = 32)
);

-- The batches, and when they were revealed. The phase follows: revealed if
-- reveal_height is set, else sharing if share_guard has the height, else committed.
CREATE TABLE batches (
    height        bigint PRIMARY KEY,
    epoch         bigint NOT NULL,
    root          bytea  NOT NULL CHECK (octet_length(root) = 32),
    size          bigint NOT NULL CHECK (size > 0),
    checkpoint    bytea  NOT NULL,
    reveal_height bigint CHECK (reveal_height > height),
    certificate   bytea  CHECK (octet_length(certificate) = 48),
    voids         bigint CHECK (voids BETWEEN 0 AND size),
    CHECK (num_nulls(reveal_height, certificate, voids) IN (0, 3))
);
CREATE INDEX batches_unrevealed ON batches (height) WHERE reveal_height IS NULL;

-- The ciphertexts of the batches. Ids never come twice.
CREATE TABLE ordered (
    height      bigint NOT NULL,
    position    bigint NOT NULL CHECK (position >= 0),
    id          bytea  NOT NULL UNIQUE CHECK (octet_length(id) = 32),
    namespace   text   COLLATE "C" NOT NULL,
    valid_until bigint NOT NULL CHECK (valid_until >= height),
    ciphertext  bytea  NOT NULL,
    PRIMARY KEY (height, position) INCLUDE (id)
);
ALTER TABLE ordered ALTER COLUMN ciphertext SET STORAGE EXTERNAL; -- it does not compress
CREATE INDEX ordered_namespace ON ordered (namespace, height, position);
-- Rows come nearly in the order of valid_until, so a block range index finds the last of them.
CREATE INDEX ordered_valid_until ON ordered USING brin (valid_until) WITH (pages_per_range = 16, autosummarize = on);

-- What the ciphertexts turned out to be: written by the block that reveals them, not before.
CREATE TABLE openings (
    height    bigint  NOT NULL,
    position  bigint  NOT NULL,
    opening   bytea   NOT NULL CHECK (octet_length(opening) = 48),
    void      boolean NOT NULL,
    plaintext bytea   CHECK (void = (plaintext IS NULL)),
    PRIMARY KEY (height, position)
);

-- The commit-reveal log and the stored hashes of its Merkle tree.
CREATE TABLE log_entries (
    index bigint PRIMARY KEY CHECK (index >= 0),
    entry bytea  NOT NULL
);
CREATE TABLE log_hashes (
    index bigint PRIMARY KEY CHECK (index >= 0),
    hash  bytea  NOT NULL CHECK (octet_length(hash) = 32)
);

-- For which batch root of a height this member let its share go: one, for ever.
CREATE TABLE share_guard (
    height      bigint PRIMARY KEY,
    epoch       bigint NOT NULL,
    root        bytea  NOT NULL CHECK (octet_length(root) = 32),
    recorded_at timestamptz NOT NULL DEFAULT now()
);

-- This member's receive log. Positions have no gaps.
CREATE TABLE received (
    position    bigint PRIMARY KEY CHECK (position > 0),
    id          bytea  NOT NULL UNIQUE CHECK (octet_length(id) = 32),
    namespace   text   COLLATE "C" NOT NULL,
    valid_until bigint NOT NULL,
    received_at bigint NOT NULL, -- Unix milliseconds, as in the receipt
    head        bytea  NOT NULL CHECK (octet_length(head) = 32)
);

-- The bodies of received ciphertexts that are neither ordered nor expired.
CREATE TABLE inbox (
    position    bigint PRIMARY KEY,
    id          bytea  NOT NULL UNIQUE,
    valid_until bigint NOT NULL,
    ciphertext  bytea  NOT NULL
);
ALTER TABLE inbox ALTER COLUMN ciphertext SET STORAGE EXTERNAL;
CREATE INDEX inbox_valid_until ON inbox (valid_until);

CREATE TABLE evidence (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text   NOT NULL,
    member      bigint NOT NULL,
    height      bigint NOT NULL,
    hash        bytea  NOT NULL, -- SHA-256 of the body: the same evidence is kept once
    body        bytea  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, hash)
);

-- What was said stays said.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON blocks      FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ordered     FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON openings    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_hashes  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON share_guard FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON received    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

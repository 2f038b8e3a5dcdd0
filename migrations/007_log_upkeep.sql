-- Times of blocks, and an end to keeping every cosignature; docs/spec/log.md, docs/spec/postgres.md.

-- The time in the block's header, Unix milliseconds; null for blocks that were stored before this column was.
ALTER TABLE blocks ADD COLUMN header_time bigint CHECK (header_time > 0);

-- Cosignatures on old checkpoints may go, but not the newest one of a key: it completes evidence against its owner.
CREATE INDEX log_signatures_key ON log_signatures (name, key_id, size);
DROP TRIGGER append_only ON log_signatures;
CREATE TRIGGER no_change BEFORE UPDATE OR TRUNCATE ON log_signatures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION keep_newest_signature() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM log_signatures n WHERE n.name = OLD.name AND n.key_id = OLD.key_id AND n.size > OLD.size) THEN
        RAISE EXCEPTION 'the newest signature of % on the log is kept: % refused', OLD.name, TG_OP
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER keep_newest BEFORE DELETE ON log_signatures FOR EACH ROW EXECUTE FUNCTION keep_newest_signature();

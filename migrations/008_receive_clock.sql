-- Up to which time, Unix milliseconds, this member may have promised that nothing it receives has an earlier one. It is written
-- ahead of what is promised, so that a restart with a clock that is behind goes on after it. One row; docs/spec/order-in-blocks.md.
CREATE TABLE receive_clock (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until bigint  NOT NULL CHECK (until >= 0)
);
CREATE FUNCTION refuse_going_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR NEW.until < OLD.until THEN
        RAISE EXCEPTION 'the time that was promised does not go back: % of % refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_forward BEFORE UPDATE OR DELETE ON receive_clock FOR EACH ROW EXECUTE FUNCTION refuse_going_back();

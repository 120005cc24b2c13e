-- Rows that wait for an earlier one of their source are parked: 200000000000000 added to `not_before` takes them out
-- of what is due, so that a lease looks at each of them once and not on every turn.
-- Which rows of a source are parked, and which of them came first?
CREATE INDEX inbox_parked ON inbox (tenant_id, source, topic, xid, seq)
    WHERE state = 'pending' AND not_before >= 200000000000000;
-- Does a row of this source run?
CREATE INDEX inbox_source_running ON inbox (tenant_id, source, topic) WHERE source <> '' AND state = 'running';

-- When a row comes to its end, the first parked row of each topic of its source is due again. The database sees to it,
-- so no row is stranded whichever program ends one. Whoever parks a row holds a lock on the one it waits for
-- (FOR SHARE), so that this looks either before it was parked and found something to wait for, or after.
CREATE FUNCTION inbox_unpark() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    parked_seq bigint;
    parked_topic text COLLATE "C" := '';
BEGIN
    LOOP
        SELECT seq, topic INTO parked_seq, parked_topic FROM inbox
        WHERE state = 'pending' AND not_before >= 200000000000000
        AND tenant_id = OLD.tenant_id AND source = OLD.source AND topic >= parked_topic
        ORDER BY topic, xid, seq LIMIT 1;
        EXIT WHEN NOT FOUND;
        UPDATE inbox SET not_before = not_before - 200000000000000
        WHERE seq = parked_seq AND state = 'pending' AND not_before >= 200000000000000;
        parked_topic := parked_topic || chr(1);  -- the least text behind it
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER inbox_settled AFTER UPDATE ON inbox FOR EACH ROW
    WHEN (OLD.state IN ('pending', 'running') AND NEW.state IN ('done', 'dead') AND OLD.source <> '')
    EXECUTE FUNCTION inbox_unpark();
CREATE TRIGGER inbox_dropped AFTER DELETE ON inbox FOR EACH ROW
    WHEN (OLD.state IN ('pending', 'running') AND OLD.source <> '')
    EXECUTE FUNCTION inbox_unpark();

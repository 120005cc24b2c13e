-- What channels remember, and how they are. Both go with their tenant, even when an older program deletes it.

-- Written with the notifications it belongs to. An empty value is no row. The limit is store.CHANNEL_FACT_BYTES.
CREATE TABLE channel_facts (
    tenant_id bigint NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    channel text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    value bytea NOT NULL CHECK (octet_length(value) BETWEEN 1 AND 1048576),
    PRIMARY KEY (tenant_id, channel, name)
) WITH (
    -- A row is written anew with nearly every batch of its channel: what that leaves behind is cleared away soon.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000
);
-- As operators see them, each as its process last said.
CREATE TABLE channels (
    tenant_id bigint NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    channel text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('connecting', 'connected', 'waiting', 'stopped')),
    detail text NOT NULL,
    since bigint NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, channel, name)
);

DO $$
DECLARE
    wall text;
BEGIN
    FOREACH wall IN ARRAY ARRAY['channel_facts', 'channels'] LOOP
        EXECUTE format($q$
            CREATE POLICY wall ON %I USING ((SELECT current_setting('subscriber.everybody', true)) = 'on'
                OR tenant_id = ANY ((SELECT string_to_array(
                    current_setting('subscriber.tenants', true), ',')::bigint[])::bigint[]))
        $q$, wall);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', wall);
    END LOOP;
END
$$;

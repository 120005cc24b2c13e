-- Whom a platform has given the application to, as lists and notices say. By name: a notice may come before anything
-- else of a tenant, also the one that it has left.
CREATE TABLE roster (
    platform text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    member integer NOT NULL CHECK (member IN (0, 1)),
    missed integer NOT NULL DEFAULT 0,
    heard_at bigint,
    told text NOT NULL DEFAULT '' CHECK (told IN ('', 'joined', 'left')),
    PRIMARY KEY (platform, name)
);

CREATE TABLE censuses (
    platform text COLLATE "C" PRIMARY KEY,
    read_at bigint,
    waiting bigint NOT NULL DEFAULT 0,
    reconciled_at bigint
);

CREATE POLICY wall ON roster USING ((SELECT current_setting('subscriber.everybody', true)) = 'on');
CREATE POLICY wall ON censuses USING ((SELECT current_setting('subscriber.everybody', true)) = 'on');
ALTER TABLE roster ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE censuses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

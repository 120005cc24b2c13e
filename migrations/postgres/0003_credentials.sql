-- Nobody can be asked when credentials were issued, so the day they were first used is kept. Never a secret.
CREATE TABLE credentials (
    client_id text COLLATE "C" PRIMARY KEY,
    since bigint NOT NULL
);

CREATE POLICY wall ON credentials USING ((SELECT current_setting('subscriber.everybody', true)) = 'on');
ALTER TABLE credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

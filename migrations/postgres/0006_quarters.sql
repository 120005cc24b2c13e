-- What `minutes` says of all tenants together, a quarter of an hour at a time: charts of days and weeks must not add up
-- every tenant's every minute. Rows come when a quarter is over; the event '' says that it has been summed.
CREATE TABLE quarters (
    quarter bigint NOT NULL,
    event text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (quarter, event)
);

CREATE POLICY wall ON quarters USING ((SELECT current_setting('subscriber.everybody', true)) = 'on');
ALTER TABLE quarters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

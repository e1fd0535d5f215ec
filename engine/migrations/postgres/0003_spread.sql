-- Has one row when the tables are spread over several machines by merchant
-- (`requite migrate --distribute`). Not a column of requite_schema: whoever waits for that table's row
-- would stop its change for ever.
create table requite_spread (only_row bigint primary key check (only_row = 1));

-- A unique key of a table that is spread has in it what it is spread by.
alter table webhook_delivery drop constraint webhook_delivery_pkey;
alter table webhook_delivery add primary key (endpoint_id, payment_id, merchant_id);

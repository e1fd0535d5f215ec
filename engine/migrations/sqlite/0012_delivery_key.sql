-- The merchant is in every unique key, as where tables are spread over machines by merchant.
create table delivery (
    endpoint_id blob not null,
    payment_id blob not null,
    merchant_id blob not null,
    next_seq integer not null check (next_seq >= 1),
    last_seq integer not null check (last_seq >= 1),
    failures integer not null check (failures >= 0),
    failing_since_ms integer,
    next_try_at_ms integer,             -- null: given up
    problem text,
    primary key (endpoint_id, payment_id, merchant_id)
) strict, without rowid;

insert into delivery select endpoint_id, payment_id, merchant_id, next_seq, last_seq, failures,
    failing_since_ms, next_try_at_ms, problem from webhook_delivery;
drop table webhook_delivery;
alter table delivery rename to webhook_delivery;
create index webhook_delivery_due on webhook_delivery (endpoint_id, next_try_at_ms);

insert into sqlite_stat1 (tbl, idx, stat) values
    ('webhook_delivery', 'webhook_delivery', '10000 100 1 1'),
    ('webhook_delivery', 'webhook_delivery_due', '10000 100 2 1 1');
analyze sqlite_schema;

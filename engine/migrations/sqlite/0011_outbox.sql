-- Where a merchant is told of what happens. The secrets that sign are sealed before they come here.
create table webhook_endpoint (
    merchant_id blob not null,
    endpoint_id blob not null check (length(endpoint_id) = 16),
    dialect text not null,
    url text not null,
    is_active integer not null check (is_active in (0, 1)),
    sealed blob not null,
    sealed_before blob,                 -- signs as well
    before_until_ms integer,            -- until then
    created_at_ms integer not null,
    updated_at_ms integer not null,
    primary key (merchant_id, endpoint_id),
    check ((sealed_before is null) = (before_until_ms is null))
) strict, without rowid;

-- A payment's events that an endpoint has not confirmed: from next_seq to last_seq.
create table webhook_delivery (
    endpoint_id blob not null,
    payment_id blob not null,
    merchant_id blob not null,
    next_seq integer not null check (next_seq >= 1),
    last_seq integer not null check (last_seq >= 1),
    failures integer not null check (failures >= 0),
    failing_since_ms integer,
    next_try_at_ms integer,             -- null: given up
    problem text,
    primary key (endpoint_id, payment_id)
) strict, without rowid;

create index webhook_delivery_due on webhook_delivery (endpoint_id, next_try_at_ms);

insert into sqlite_stat1 (tbl, idx, stat) values
    ('webhook_endpoint', 'webhook_endpoint', '100 2 1'),
    ('webhook_delivery', 'webhook_delivery', '10000 100 1'),
    ('webhook_delivery', 'webhook_delivery_due', '10000 100 2 1');
analyze sqlite_schema;

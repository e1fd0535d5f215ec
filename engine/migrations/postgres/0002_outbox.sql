-- Where a merchant is told of what happens. The secrets that sign are sealed before they come here.
create table webhook_endpoint (
    merchant_id bytea not null,
    endpoint_id bytea not null check (octet_length(endpoint_id) = 16),
    dialect text not null,
    url text not null,
    is_active bigint not null check (is_active in (0, 1)),
    sealed bytea not null,
    sealed_before bytea,                -- signs as well
    before_until_ms bigint,             -- until then
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    primary key (merchant_id, endpoint_id),
    check ((sealed_before is null) = (before_until_ms is null))
);

-- A payment's events that an endpoint has not confirmed: from next_seq to last_seq.
create table webhook_delivery (
    endpoint_id bytea not null,
    payment_id bytea not null,
    merchant_id bytea not null,
    next_seq bigint not null check (next_seq >= 1),
    last_seq bigint not null check (last_seq >= 1),
    failures bigint not null check (failures >= 0),
    failing_since_ms bigint,
    next_try_at_ms bigint,              -- null: given up
    problem text,
    primary key (endpoint_id, payment_id)
);

create index webhook_delivery_due on webhook_delivery (endpoint_id, next_try_at_ms);

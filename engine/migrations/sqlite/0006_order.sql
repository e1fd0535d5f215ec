-- What Medusa v1 keeps beside money: why goods come back, and how a refund of an order is spread over
-- the order's payments.

create table return_reason (
    merchant_id blob not null,
    reason_id blob not null check (length(reason_id) = 16),
    code text not null,                 -- its value, as the dialect calls it
    label text not null,
    description text,
    created_at_ms integer not null,
    updated_at_ms integer not null,
    deleted_at_ms integer,
    primary key (merchant_id, reason_id)
) strict, without rowid;

create unique index return_reason_code on return_reason (merchant_id, code)
    where deleted_at_ms is null;

-- A refund that was asked for an order, written before any of its parts is asked for.
create table order_refund (
    merchant_id blob not null,
    order_refund_id blob not null check (length(order_refund_id) = 16),
    order_ref text not null,
    amount_minor integer not null check (amount_minor >= 1),
    reason text not null,
    note text,
    key_text text,
    refusal text,                       -- why it has no parts
    created_at_ms integer not null,
    primary key (merchant_id, order_refund_id)
) strict, without rowid;

create index order_refund_order on order_refund (merchant_id, order_ref, order_refund_id);

-- One row for each payment that the order had, whether or not something is taken from it.
create table order_refund_part (
    merchant_id blob not null,
    order_refund_id blob not null,
    ordinal integer not null check (ordinal >= 0),
    payment_id blob not null,
    seen_seq integer not null check (seen_seq >= 1),    -- the payment's event number at the planning
    refund_id blob check (length(refund_id) = 16),      -- null: nothing is taken from it
    amount_minor integer not null check (amount_minor >= 0),
    primary key (merchant_id, order_refund_id, ordinal),
    check ((refund_id is null) = (amount_minor = 0))
) strict, without rowid;

insert into sqlite_stat1 (tbl, idx, stat) values
    ('return_reason', 'return_reason', '100 10 1'),
    ('order_refund', 'order_refund', '100000 10000 1'),
    ('order_refund', 'order_refund_order', '100000 10000 1 1'),
    ('order_refund_part', 'order_refund_part', '100000 10000 1 1');
analyze sqlite_schema;

-- What a shop keeps beside its money: payment collections, what its keys are called, and what keyed
-- requests that move no money were answered.

-- Who made a key and what for. The secret is not here; `redacted` is what lists show of it.
alter table api_key add column kind text not null default 'secret'
    check (kind in ('secret', 'publishable'));
alter table api_key add column title text;          -- null: made at the command line, as are the next two
alter table api_key add column redacted text;
alter table api_key add column created_by text;
alter table api_key add column revoked_by text;

-- An amount that is asked for an order. No money is in it: what pays it is the payment with its id.
create table payment_collection (
    merchant_id blob not null,
    collection_id blob not null check (length(collection_id) = 16),
    order_ref text not null,
    currency text not null check (length(currency) = 3),
    exponent integer not null check (exponent between 0 and 4),
    amount_minor integer not null check (amount_minor between 1 and 9007199254740991),
    provider text,                      -- of its payment session; null: it has none
    session_at_ms integer,
    created_at_ms integer not null,
    updated_at_ms integer not null,
    marked_at_ms integer,               -- when somebody said that it is paid; its payment may follow
    marked_by text,
    primary key (merchant_id, collection_id),
    check ((provider is null) = (session_at_ms is null)),
    check ((marked_at_ms is null) = (marked_by is null))
) strict, without rowid;

-- Written with what the request changed, both or neither. Body: as sent, without secrets; null where
-- the books tell it.
create table kept_answer (
    merchant_id blob not null,
    key_hash blob not null check (length(key_hash) = 16),
    fingerprint blob not null check (length(fingerprint) = 16),
    subject blob not null check (length(subject) = 16),
    body text,
    at_ms integer not null,
    primary key (merchant_id, key_hash)
) strict, without rowid;

insert into sqlite_stat1 (tbl, idx, stat) values
    ('payment_collection', 'payment_collection', '100000 10000 1'),
    ('kept_answer', 'kept_answer', '100000 10000 1');
analyze sqlite_schema;

-- A merchant's account at a PSP. What opens it is sealed before it comes here.
create table connector_account (
    merchant_id blob not null,
    account_id blob not null check (length(account_id) = 16),
    name text not null,                 -- what payments are registered with
    kind text not null,
    mode text not null check (mode in ('test', 'live')),
    base_url text,                      -- null: the PSP's own
    sends_reason integer not null check (sends_reason in (0, 1)),
    sealed blob not null,
    created_at_ms integer not null,
    sealed_at_ms integer not null,
    primary key (merchant_id, account_id)
) strict, without rowid;

create unique index connector_account_name on connector_account (merchant_id, name);

insert into sqlite_stat1 (tbl, idx, stat) values
    ('connector_account', 'connector_account', '100 10 1'),
    ('connector_account', 'connector_account_name', '100 10 1');
analyze sqlite_schema;

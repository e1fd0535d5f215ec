-- What PSPs tell without being asked.

-- When the newest notice that was believed says that it happened.
alter table refund add column heard_at_ms integer;

-- Refunds that were made at the PSP itself: few, and looked for at every answer of a PSP.
create index refund_external on refund (merchant_id, payment_id, psp_refund)
    where face = 'external';

-- Something about a refund that a person should see.
create table alarm (
    merchant_id blob not null,
    at_ms integer not null,
    refund_id blob not null,
    alarm text not null,
    payment_id blob not null,
    primary key (merchant_id, at_ms, refund_id, alarm)
) strict, without rowid;

-- Messages of PSPs, once each: a row is there before the PSP is thanked.
create table inbox_message (
    merchant_id blob not null,
    account_id blob not null check (length(account_id) = 16),
    message_id text not null,           -- the PSP's own
    word text not null,                 -- the PSP's own, of what it tells
    state integer not null check (state between 1 and 4),   -- waiting, processed, ignored, quarantined
    notice text,                        -- what it tells, in our form, as long as it waits
    result text,
    refund_id blob,
    tries integer not null check (tries >= 0),
    received_at_ms integer not null,
    next_try_at_ms integer,
    done_at_ms integer,
    primary key (merchant_id, account_id, message_id),
    check ((state = 1) = (next_try_at_ms is not null)),
    check ((state = 1) = (done_at_ms is null))
) strict, without rowid;

create index inbox_due on inbox_message (next_try_at_ms) where next_try_at_ms is not null;
create index inbox_waiting on inbox_message (merchant_id, account_id) where state = 1;
create index inbox_received on inbox_message (merchant_id, received_at_ms, message_id);
create index inbox_done on inbox_message (done_at_ms) where done_at_ms is not null;

-- How far an account's own list of refunds was read.
create table connector_sweep (
    merchant_id blob not null,
    account_id blob not null,
    since_ms integer not null,          -- everything that was made before is known
    next_at_ms integer not null,
    primary key (merchant_id, account_id)
) strict, without rowid;

insert into sqlite_stat1 (tbl, idx, stat) values
    ('refund', 'refund_external', '1000 100 1 1'),
    ('alarm', 'alarm', '1000 100 1 1 1'),
    ('inbox_message', 'inbox_message', '1000000 100000 100000 1'),
    ('inbox_message', 'inbox_due', '1000 1'),
    ('inbox_message', 'inbox_waiting', '1000 100 10'),
    ('inbox_message', 'inbox_received', '1000000 100000 1 1'),
    ('inbox_message', 'inbox_done', '1000000 1'),
    ('connector_sweep', 'connector_sweep', '100 10 1');
analyze sqlite_schema;

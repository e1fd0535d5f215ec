-- A registration under a key may have found its payment there already: its repeats are told so, too.
alter table idempotency add column was_present integer not null default 0
    check (was_present in (0, 1));

-- Refunds by their newest change.
create index refund_updated on refund (merchant_id, updated_at_ms, refund_id);
insert into sqlite_stat1 (tbl, idx, stat) values ('refund', 'refund_updated', '1000000 100000 1 1');
analyze sqlite_schema;

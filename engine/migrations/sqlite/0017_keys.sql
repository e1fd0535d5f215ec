-- Idempotency keys lie in the order in which they came. Sorted by key, each new one lay on a page of its own: half of
-- the pages of a commit were theirs.
create table idempotency_next (
    no integer primary key,
    merchant_id blob not null,
    key_hash blob not null check (length(key_hash) = 16),
    fingerprint blob not null check (length(fingerprint) = 16),
    at_ms integer not null,
    payment_id blob,
    refund_id blob,
    answered_seq integer,               -- the payment's event number at the first answer
    answered_status integer,
    refusal text,
    was_present integer not null default 0 check (was_present in (0, 1)),
    check (case
        when refusal is not null then refund_id is null and answered_seq is null
        when refund_id is not null then (answered_seq is null) = (answered_status is null)
        else answered_seq is not null and answered_status is null end),
    check ((payment_id is null) = (refusal is not null))
) strict;
insert into idempotency_next (merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id, answered_seq,
    answered_status, refusal, was_present)
select merchant_id, key_hash, fingerprint, at_ms, payment_id, refund_id, answered_seq, answered_status, refusal,
    was_present
from idempotency order by at_ms;
drop table idempotency;
alter table idempotency_next rename to idempotency;

-- Where each key's row is. It follows in runs: it has all rows up to `idempotency_indexed.newest`, and may have some
-- that came later.
create table idempotency_index (
    merchant_id blob not null,
    key_hash blob not null,
    no integer not null,
    primary key (merchant_id, key_hash)
) strict, without rowid;
insert into idempotency_index select merchant_id, key_hash, no from idempotency order by merchant_id, key_hash;

create table idempotency_indexed (
    only_row integer primary key check (only_row = 1),
    newest integer not null
) strict;
insert into idempotency_indexed select 1, coalesce(max(no), 0) from idempotency;

insert into sqlite_stat1 (tbl, idx, stat) values ('idempotency_index', 'idempotency_index', '1000000 100000 1');
analyze sqlite_schema;

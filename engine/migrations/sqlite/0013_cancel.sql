-- A call of a third kind: a PSP is asked to cancel a refund.
create table attempt_of_any_kind (
    merchant_id blob not null,
    refund_id blob not null,
    attempt integer not null check (attempt >= 1),
    kind integer not null check (kind in (1, 2, 3)),   -- 1: refund call, 2: look-up, 3: cancellation
    call_no integer not null,
    prepared_at_ms integer not null,
    outcome text,
    answered_at_ms integer,
    primary key (merchant_id, refund_id, attempt)
) strict, without rowid;

insert into attempt_of_any_kind select merchant_id, refund_id, attempt, kind, call_no, prepared_at_ms,
    outcome, answered_at_ms from attempt;
drop table attempt;
alter table attempt_of_any_kind rename to attempt;

insert into sqlite_stat1 (tbl, idx, stat) values ('attempt', 'attempt', '1000000 100000 1 1');
analyze sqlite_schema;

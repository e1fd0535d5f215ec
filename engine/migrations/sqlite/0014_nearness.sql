-- Rows that a refund writes lie where few pages hold them. A commit writes every page that it touched, whole, so what
-- costs is their number, not their bytes: of the tables below, a refund touches one page anywhere (its payment's), and
-- otherwise the ends where new rows go. Ids of refunds grow with time.

-- A payment's head and its captures, side by side.
-- Line 0 is the head: number and hash of the newest event, how often the PSP was called for a refund, when it last
-- changed, and its newest refund. Each other line is a capture, under the number of the event that made it.
-- The last check is the second line of defence against giving back more than was taken: it holds even for wrong code.
create table book (
    merchant_id blob not null,
    payment_id blob not null check (length(payment_id) = 16),
    line integer not null check (line >= 0),
    seq integer check (seq >= 1),
    hash blob check (length(hash) = 32),
    calls integer check (calls >= 0),
    updated_at_ms integer,
    newest_refund blob check (length(newest_refund) = 16),
    capture_id blob check (length(capture_id) = 16),
    leg_no integer,
    captured_minor integer check (captured_minor > 0),
    voided_minor integer check (voided_minor >= 0),
    refunded_minor integer check (refunded_minor >= 0),
    reserved_minor integer check (reserved_minor >= 0),
    disputed_minor integer check (disputed_minor >= 0),
    excess_minor integer check (excess_minor >= 0),         -- paid beyond captured: an alarm
    captured_at_ms integer,
    primary key (merchant_id, payment_id, line),
    check (case line
        when 0 then seq is not null and hash is not null and calls is not null and updated_at_ms is not null
            and capture_id is null
        else seq is null and capture_id is not null and leg_no is not null and captured_minor is not null
            and excess_minor is not null and captured_at_ms is not null
            and voided_minor + refunded_minor + reserved_minor + disputed_minor is not null end),
    check (voided_minor + refunded_minor + reserved_minor + disputed_minor <= captured_minor)
) strict, without rowid;

insert into book (merchant_id, payment_id, line, seq, hash, calls, updated_at_ms, newest_refund)
select h.merchant_id, h.payment_id, 0, h.seq, h.hash, h.calls, h.updated_at_ms,
    (select r.refund_id from refund r
        where r.merchant_id = h.merchant_id and r.payment_id = h.payment_id
        order by r.asked_seq desc limit 1)
from payment_head h;
insert into book (merchant_id, payment_id, line, capture_id, leg_no, captured_minor, voided_minor, refunded_minor,
    reserved_minor, disputed_minor, excess_minor, captured_at_ms)
select merchant_id, payment_id, seq, capture_id, leg_no, captured_minor, voided_minor, refunded_minor, reserved_minor,
    disputed_minor, excess_minor, captured_at_ms
from capture;

-- When each payment changed: a row more at every change, and none is taken away. The row that its head names is the
-- newest; the others are passed over.
create table payment_change (
    merchant_id blob not null,
    updated_at_ms integer not null,
    payment_id blob not null,
    primary key (merchant_id, updated_at_ms, payment_id)
) strict, without rowid;
insert into payment_change select merchant_id, updated_at_ms, payment_id from payment_head
order by merchant_id, updated_at_ms, payment_id;

drop table payment_head;
drop table capture;
create view payment_head as
    select merchant_id, payment_id, seq, hash, calls, updated_at_ms, newest_refund from book where line = 0;
create view capture as
    select merchant_id, payment_id, line as seq, capture_id, leg_no, captured_minor, voided_minor, refunded_minor,
        reserved_minor, disputed_minor, excess_minor, captured_at_ms
    from book where line > 0;

-- A payment's refunds are found from the newest on, each by the one that came after it.
alter table refund add column previous_refund blob check (length(previous_refund) = 16);
update refund set previous_refund = (
    select b.refund_id from refund b
    where b.merchant_id = refund.merchant_id and b.payment_id = refund.payment_id and b.asked_seq < refund.asked_seq
    order by b.asked_seq desc limit 1);
drop index refund_payment;

-- Events lie with what they are about: those of a refund (kinds 4, 8 and 9) side by side, a payment's others as well.
create table event_next (
    merchant_id blob not null,
    about blob not null check (length(about) = 16),         -- the refund, or the payment
    seq integer not null check (seq >= 1),                  -- without gaps in a payment's events
    payment_id blob not null,
    kind integer not null,
    subject blob check (length(subject) = 16),              -- null: as `about`
    amount_minor integer not null,
    status integer,
    psp_refund text,
    fault_code text,
    fault_text text,
    actor text not null,
    at_ms integer not null,
    hash blob not null check (length(hash) = 32),
    primary key (merchant_id, about, seq)
) strict, without rowid;
insert into event_next
select merchant_id, case when kind in (4, 8, 9) then subject else payment_id end, seq, payment_id, kind,
    case when kind not in (4, 8, 9) and subject <> payment_id then subject end, amount_minor, status, psp_refund,
    fault_code, fault_text, actor, at_ms, hash
from event order by 1, 2, 3;

-- And entries with their events. One debit and one credit of the same amount: an entry cannot fail to balance.
create table journal_next (
    merchant_id blob not null,
    about blob not null,
    seq integer not null,               -- the event it belongs to
    line integer not null check (line >= 0),
    capture_id blob not null,
    debit integer not null,
    credit integer not null,
    amount_minor integer not null check (amount_minor > 0),
    primary key (merchant_id, about, seq, line),
    check (debit <> credit)
) strict, without rowid;
insert into journal_next
select j.merchant_id, e.about, j.seq, j.line, j.capture_id, j.debit, j.credit, j.amount_minor
from event_next e join journal j
    on j.merchant_id = e.merchant_id and j.payment_id = e.payment_id and j.seq = e.seq
order by 1, 2, 3, 4;

drop table event;
drop table journal;
alter table event_next rename to event;
alter table journal_next rename to journal;

insert into sqlite_stat1 (tbl, idx, stat) values
    ('book', 'book', '2000000 200000 2 1'),
    ('payment_change', 'payment_change', '1000000 100000 1 1'),
    ('event', 'event', '4000000 400000 2 1'),
    ('journal', 'journal', '4000000 400000 2 1 1');
analyze sqlite_schema;

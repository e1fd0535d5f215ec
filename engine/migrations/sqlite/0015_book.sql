-- What a lane reads of a payment for a refund, and what it changes there, lies in one row.

-- Line 0 is the payment: how many lines it has, number and hash of its newest event, how often its PSP was called for a
-- refund, when it last changed, and its newest refund; what a lane wants to know of its registration, with the name that
-- it has now; its payment method; and its first capture, if anything was captured. Its gift cards have numbers below,
-- its other captures above: those of the events that made them.
-- The last check is the second line of defence against giving back more than was taken: it holds even for wrong code.
create table book_next (
    merchant_id blob not null,
    payment_id blob not null check (length(payment_id) = 16),
    line integer not null,
    lines integer check (lines >= 1),
    seq integer check (seq >= 1),
    hash blob check (length(hash) = 32),
    calls integer check (calls >= 0),
    updated_at_ms integer,
    newest_refund blob check (length(newest_refund) = 16),
    currency text check (length(currency) = 3),
    exponent integer check (exponent between 0 and 4),
    is_closed integer check (is_closed in (0, 1)),          -- nothing of it is refundable here
    connector text,
    connector_payment text,
    connector_settings text,
    external_identifier text,
    order_ref text,
    fingerprint blob check (length(fingerprint) = 16),
    leg_id blob check (length(leg_id) = 16),
    amount_minor integer check (amount_minor between 0 and 9007199254740991),
    released_minor integer check (released_minor between 0 and amount_minor),
    capture_id blob check (length(capture_id) = 16),
    capture_seq integer check (capture_seq >= 1),           -- the event that made it; also their order
    capture_leg integer check (capture_leg >= 0),           -- the leg that it is of; 0: the payment method
    captured_minor integer check (captured_minor > 0),
    voided_minor integer check (voided_minor >= 0),
    refunded_minor integer check (refunded_minor >= 0),
    reserved_minor integer check (reserved_minor >= 0),
    disputed_minor integer check (disputed_minor >= 0),
    excess_minor integer check (excess_minor >= 0),         -- paid beyond captured: an alarm
    captured_at_ms integer,
    primary key (merchant_id, payment_id, line),
    check (case line when 0
        then (lines + seq + calls + updated_at_ms + exponent + is_closed) is not null
            and hash is not null and currency is not null and connector is not null and fingerprint is not null
        else coalesce(lines, seq, calls, updated_at_ms, exponent, is_closed, hash, currency, connector, fingerprint)
            is null end),
    check (case when line <= 0 then leg_id is not null and amount_minor is not null and released_minor is not null
        else coalesce(leg_id, amount_minor, released_minor) is null end),
    check (case when capture_id is null
        then line <= 0 and coalesce(capture_seq, capture_leg, captured_minor, voided_minor, refunded_minor,
            reserved_minor, disputed_minor, excess_minor, captured_at_ms) is null
        else line >= 0 and (capture_seq + capture_leg + captured_minor + voided_minor + refunded_minor
            + reserved_minor + disputed_minor + excess_minor + captured_at_ms) is not null end),
    check (voided_minor + refunded_minor + reserved_minor + disputed_minor <= captured_minor)
) strict, without rowid;

insert into book_next (merchant_id, payment_id, line, lines, seq, hash, calls, updated_at_ms, newest_refund, currency,
    exponent, is_closed, connector, connector_payment, connector_settings, external_identifier, order_ref, fingerprint,
    leg_id, amount_minor, released_minor, capture_id, capture_seq, capture_leg, captured_minor, voided_minor,
    refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms)
select h.merchant_id, h.payment_id, 0,
    (select count(*) from leg n where n.merchant_id = h.merchant_id and n.payment_id = h.payment_id)
        + max(0, (select count(*) from book n
            where n.merchant_id = h.merchant_id and n.payment_id = h.payment_id and n.line > 0) - 1),
    h.seq, h.hash, h.calls, h.updated_at_ms, h.newest_refund, p.currency, p.exponent,
    p.cancelled_at_ms is not null or p.fault_code is not null, p.connector, p.connector_payment,
    p.connector_settings,
    case when a.seq is null then p.external_identifier else a.external_identifier end, p.order_ref, p.fingerprint,
    l.leg_id, l.amount_minor, l.released_minor, c.capture_id, c.line, c.leg_no, c.captured_minor, c.voided_minor,
    c.refunded_minor, c.reserved_minor, c.disputed_minor, c.excess_minor, c.captured_at_ms
from book h
join payment p on p.merchant_id = h.merchant_id and p.payment_id = h.payment_id
join leg l on l.merchant_id = h.merchant_id and l.payment_id = h.payment_id and l.leg_no = 0
left join book c on c.merchant_id = h.merchant_id and c.payment_id = h.payment_id
    and c.line = (select min(n.line) from book n
        where n.merchant_id = h.merchant_id and n.payment_id = h.payment_id and n.line > 0)
left join amendment a on a.merchant_id = h.merchant_id and a.payment_id = h.payment_id
    and a.seq = (select max(n.seq) from amendment n
        where n.merchant_id = h.merchant_id and n.payment_id = h.payment_id and n.renames = 1)
where h.line = 0
order by h.merchant_id, h.payment_id;
insert into book_next (merchant_id, payment_id, line, leg_id, amount_minor, released_minor)
select merchant_id, payment_id, -leg_no, leg_id, amount_minor, released_minor from leg where leg_no > 0;
insert into book_next (merchant_id, payment_id, line, capture_id, capture_seq, capture_leg, captured_minor,
    voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms)
select c.merchant_id, c.payment_id, c.line, c.capture_id, c.line, c.leg_no, c.captured_minor, c.voided_minor,
    c.refunded_minor, c.reserved_minor, c.disputed_minor, c.excess_minor, c.captured_at_ms
from book c
join book_next b on b.merchant_id = c.merchant_id and b.payment_id = c.payment_id and b.line = 0
    and b.capture_seq < c.line
where c.line > 0;

-- What reads payments sees them as before.
drop view payment_head;
drop view capture;
drop table leg;
drop table book;
alter table book_next rename to book;
create view payment_head as
    select merchant_id, payment_id, seq, hash, calls, updated_at_ms, newest_refund from book where line = 0;
create view leg as
    select merchant_id, payment_id, -line as leg_no, leg_id, amount_minor, released_minor from book where line <= 0;
create view capture as
    select merchant_id, payment_id, capture_seq as seq, capture_id, capture_leg as leg_no, captured_minor,
        voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms
    from book where capture_id is not null;

-- Every name of a payment is in `renamed`, its first as well.
insert into renamed (merchant_id, external_identifier, payment_id)
select merchant_id, external_identifier, payment_id from payment where external_identifier is not null
order by merchant_id, external_identifier
on conflict do nothing;
drop index payment_external;

insert into sqlite_stat1 (tbl, idx, stat) values ('book', 'book', '1100000 110000 2 1');
analyze sqlite_schema;

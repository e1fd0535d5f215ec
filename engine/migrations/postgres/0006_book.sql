-- What a lane reads of a payment for a refund, and what it changes there, lies in one row of one page, found by one
-- index. A refund of one payment among many reads pages that nobody has read for a while, and waits for each.

-- Line 0 is the payment: how many lines it has, number and hash of its newest event, how often its PSP was called for a
-- refund, when it last changed, and its newest refund; what a lane wants to know of its registration, with the name that
-- it has now; its payment method; and its first capture, if anything was captured. Its gift cards have numbers below,
-- its other captures above: those of the events that made them.
-- The last check is the second line of defence against giving back more than was taken: it holds even for wrong code.
-- Numbers stand first: among texts they would leave gaps. No column of an index changes, so a row is updated in its page.
create table book (
    seq bigint check (seq >= 1),
    calls bigint check (calls >= 0),
    updated_at_ms bigint,
    amount_minor bigint check (amount_minor between 0 and 9007199254740991),
    released_minor bigint check (released_minor between 0 and amount_minor),
    captured_minor bigint check (captured_minor > 0),
    voided_minor bigint check (voided_minor >= 0),
    refunded_minor bigint check (refunded_minor >= 0),
    reserved_minor bigint check (reserved_minor >= 0),
    disputed_minor bigint check (disputed_minor >= 0),
    excess_minor bigint check (excess_minor >= 0),          -- paid beyond captured: an alarm
    captured_at_ms bigint,
    capture_seq bigint check (capture_seq >= 1),            -- the event that made it; also their order
    line integer not null,
    lines smallint check (lines >= 1),
    capture_leg smallint check (capture_leg >= 0),          -- the leg that it is of; 0: the payment method
    exponent smallint check (exponent between 0 and 4),
    is_closed smallint check (is_closed in (0, 1)),         -- nothing of it is refundable here
    merchant_id bytea not null,
    payment_id bytea not null check (octet_length(payment_id) = 16),
    hash bytea check (octet_length(hash) = 32),
    newest_refund bytea check (octet_length(newest_refund) = 16),
    fingerprint bytea check (octet_length(fingerprint) = 16),
    leg_id bytea check (octet_length(leg_id) = 16),
    capture_id bytea check (octet_length(capture_id) = 16),
    currency text check (length(currency) = 3),
    connector text,
    connector_payment text,
    connector_settings text,
    external_identifier text,
    order_ref text,
    primary key (merchant_id, payment_id, line),
    check (num_nulls(lines, seq, hash, calls, updated_at_ms, currency, exponent, is_closed, connector, fingerprint)
        = case when line = 0 then 0 else 10 end),
    check (num_nulls(leg_id, amount_minor, released_minor) = case when line <= 0 then 0 else 3 end),
    check (num_nulls(capture_id, capture_seq, capture_leg, captured_minor, voided_minor, refunded_minor, reserved_minor,
        disputed_minor, excess_minor, captured_at_ms) in (case when line > 0 then 0 else 10 end,
        case when line < 0 then 10 else 0 end)),
    check (voided_minor + refunded_minor + reserved_minor + disputed_minor <= captured_minor)
) with (fillfactor = 85);

insert into book (seq, calls, updated_at_ms, amount_minor, released_minor, captured_minor, voided_minor,
    refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms, capture_seq, line, lines, capture_leg,
    exponent, is_closed, merchant_id, payment_id, hash, newest_refund, fingerprint, leg_id, capture_id, currency,
    connector, connector_payment, connector_settings, external_identifier, order_ref)
select h.seq, h.calls, h.updated_at_ms, l.amount_minor, l.released_minor, c.captured_minor, c.voided_minor,
    c.refunded_minor, c.reserved_minor, c.disputed_minor, c.excess_minor, c.captured_at_ms, c.seq, 0,
    (select count(*) from leg n where n.merchant_id = p.merchant_id and n.payment_id = p.payment_id)
        + greatest(0, (select count(*) from capture n
            where n.merchant_id = p.merchant_id and n.payment_id = p.payment_id) - 1),
    c.leg_no, p.exponent,
    case when p.cancelled_at_ms is null and p.fault_code is null then 0 else 1 end,
    p.merchant_id, p.payment_id, h.hash, h.newest_refund, p.fingerprint, l.leg_id, c.capture_id, p.currency,
    p.connector, p.connector_payment, p.connector_settings,
    case when a.seq is null then p.external_identifier else a.external_identifier end, p.order_ref
from payment p
join payment_head h on h.merchant_id = p.merchant_id and h.payment_id = p.payment_id
join leg l on l.merchant_id = p.merchant_id and l.payment_id = p.payment_id and l.leg_no = 0
left join (select distinct on (merchant_id, payment_id) * from capture order by merchant_id, payment_id, seq) c
    on c.merchant_id = p.merchant_id and c.payment_id = p.payment_id
left join (select distinct on (merchant_id, payment_id) * from amendment where renames = 1
        order by merchant_id, payment_id, seq desc) a
    on a.merchant_id = p.merchant_id and a.payment_id = p.payment_id
order by p.merchant_id, p.payment_id;
insert into book (line, merchant_id, payment_id, leg_id, amount_minor, released_minor)
select -leg_no, merchant_id, payment_id, leg_id, amount_minor, released_minor from leg where leg_no > 0;
insert into book (line, merchant_id, payment_id, capture_id, capture_seq, capture_leg, captured_minor, voided_minor,
    refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms)
select c.seq, c.merchant_id, c.payment_id, c.capture_id, c.seq, c.leg_no, c.captured_minor, c.voided_minor,
    c.refunded_minor, c.reserved_minor, c.disputed_minor, c.excess_minor, c.captured_at_ms
from capture c
join book b on b.merchant_id = c.merchant_id and b.payment_id = c.payment_id and b.line = 0 and b.capture_seq < c.seq;

-- What reads payments sees them as before.
drop table payment_head;
drop table leg;
drop table capture;
create view payment_head as
    select merchant_id, payment_id, seq, hash, calls, updated_at_ms, newest_refund from book where line = 0;
create view leg as
    select merchant_id, payment_id, (-line)::bigint as leg_no, leg_id, amount_minor, released_minor
    from book where line <= 0;
create view capture as
    select merchant_id, payment_id, capture_seq as seq, capture_id, capture_leg::bigint as leg_no, captured_minor,
        voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms
    from book where capture_id is not null;

-- Here every name of a payment is in `renamed`, its first as well, and refunds of a payment are found by an index.
drop index payment_external;
alter table refund drop column previous_refund;

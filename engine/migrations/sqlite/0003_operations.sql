-- What happens to a payment besides refunds, and what it is called.

-- The PSP's no to the payment itself.
alter table payment add column fault_code text;
alter table payment add column fault_text text;

create index payment_order on payment (merchant_id, order_ref) where order_ref is not null;

-- Time of the newest event, for lists.
alter table payment_head add column updated_at_ms integer not null default 0;
update payment_head set updated_at_ms = (
    select at_ms from event
    where event.merchant_id = payment_head.merchant_id
        and event.payment_id = payment_head.payment_id and event.seq = payment_head.seq);
create index payment_updated on payment_head (merchant_id, updated_at_ms, payment_id);

alter table refund add column metadata text;        -- a JSON object
create index refund_given on refund (merchant_id, given_id) where given_id is not null;

-- What is kept of a registration, capture, void or extension besides its event.
create table operation (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null,               -- the event that tells of it
    kind integer not null check (kind between 1 and 4),
    is_final integer not null check (is_final in (0, 1)),
    face text not null,
    given_id blob,
    external_identifier text,
    reference_day integer,
    reference_no integer,
    primary key (merchant_id, payment_id, seq)
) strict, without rowid;

-- What an event of kind "amended" put in place of what was registered.
create table amendment (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null,
    renames integer not null check (renames in (0, 1)),
    external_identifier text,
    metadata text,                      -- a JSON object; null: as it was
    primary key (merchant_id, payment_id, seq),
    check (renames = 1 or external_identifier is null)
) strict, without rowid;

-- Names that payments got after their registration. They stay taken, like those of registrations.
create table renamed (
    merchant_id blob not null,
    external_identifier text not null,
    payment_id blob not null,
    primary key (merchant_id, external_identifier)
) strict, without rowid;

-- Keys now also stand for registrations, captures, voids and extensions: a payment and the event that
-- tells of it, without a refund.
create table idempotency_next (
    merchant_id blob not null,
    key_hash blob not null check (length(key_hash) = 16),
    fingerprint blob not null check (length(fingerprint) = 16),
    at_ms integer not null,
    payment_id blob,
    refund_id blob,
    answered_seq integer,               -- the payment's event number at the first answer
    answered_status integer,
    refusal text,
    primary key (merchant_id, key_hash),
    check (case
        when refusal is not null then refund_id is null and answered_seq is null
        when refund_id is not null then (answered_seq is null) = (answered_status is null)
        else answered_seq is not null and answered_status is null end),
    check ((payment_id is null) = (refusal is not null))
) strict, without rowid;
insert into idempotency_next select * from idempotency;
drop table idempotency;
alter table idempotency_next rename to idempotency;

insert into sqlite_stat1 (tbl, idx, stat) values
    ('payment', 'payment_order', '1000000 100000 1'),
    ('idempotency', 'idempotency', '1000000 100000 1'),
    ('payment_head', 'payment_updated', '1000000 100000 1 1'),
    ('refund', 'refund_given', '1000000 100000 1'),
    ('operation', 'operation', '1000000 100000 1 1'),
    ('amendment', 'amendment', '100000 10000 1 1'),
    ('renamed', 'renamed', '100000 10000 1');
analyze sqlite_schema;

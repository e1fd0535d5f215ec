-- Every money table has merchant_id first in its key; no unique index crosses merchants but those
-- that find a credential or a person before the merchant is known.
-- Ids are 16 bytes. Amounts are minor units. Times are milliseconds since 1970, always given.

create table merchant (
    merchant_id blob primary key check (length(merchant_id) = 16),
    slug text not null,
    name text not null,
    profile text not null,              -- what faces show and no rule reads: a JSON object
    created_at_ms integer not null
) strict, without rowid;

create unique index merchant_slug on merchant (slug);

-- A credential, without its secret.
create table api_key (
    merchant_id blob not null,
    key_id blob not null check (length(key_id) = 16),
    face text not null,
    scopes text,                        -- space-separated; null: all that its face offers
    public_key blob,                    -- SEC1 uncompressed point, where clients sign
    created_at_ms integer not null,
    revoked_at_ms integer,
    primary key (merchant_id, key_id)
) strict, without rowid;

-- SHA-256 of a secret (or of a public key's thumbprint) to its credential.
create table key_lookup (
    lookup blob primary key check (length(lookup) = 32),
    merchant_id blob not null,
    key_id blob not null
) strict, without rowid;

create table person (
    merchant_id blob not null,
    person_id blob not null check (length(person_id) = 16),
    email text not null,
    password_hash text not null,        -- argon2id, PHC string
    created_at_ms integer not null,
    updated_at_ms integer not null,
    primary key (merchant_id, person_id)
) strict, without rowid;

create unique index person_email on person (email, merchant_id);

-- Secrets of this installation: the key that signs log-in tokens.
create table secret (
    name text primary key,
    secret blob not null
) strict, without rowid;

create table refund_reason (
    merchant_id blob not null,
    reason_id blob not null check (length(reason_id) = 16),
    code text not null,
    label text not null,
    description text,
    created_at_ms integer not null,
    updated_at_ms integer not null,
    deleted_at_ms integer,
    primary key (merchant_id, reason_id)
) strict, without rowid;

-- What was said at registration. Never updated: what changes is in payment_head and capture.
create table payment (
    merchant_id blob not null,
    payment_id blob not null check (length(payment_id) = 16),
    currency text not null check (length(currency) = 3),
    exponent integer not null check (exponent between 0 and 4),
    connector text not null,
    connector_payment text,
    connector_settings text,
    external_identifier text,
    order_ref text,
    customer text,
    description text,
    profile text not null,
    fingerprint blob not null check (length(fingerprint) = 16),
    created_at_ms integer not null,
    cancelled_at_ms integer,
    primary key (merchant_id, payment_id)
) strict, without rowid;

create unique index payment_external on payment (merchant_id, external_identifier)
    where external_identifier is not null;

-- The newest event of a payment: number and hash, and how often its PSP was called for a refund.
create table payment_head (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null check (seq >= 1),
    hash blob not null check (length(hash) = 32),
    calls integer not null check (calls >= 0),
    primary key (merchant_id, payment_id)
) strict, without rowid;

create table leg (
    merchant_id blob not null,
    payment_id blob not null,
    leg_no integer not null check (leg_no >= 0),    -- 0: the payment method
    leg_id blob not null check (length(leg_id) = 16),
    amount_minor integer not null check (amount_minor between 0 and 9007199254740991),
    released_minor integer not null default 0
        check (released_minor between 0 and amount_minor),
    primary key (merchant_id, payment_id, leg_no)
) strict, without rowid;

create unique index leg_id on leg (merchant_id, leg_id);

-- What became of each capture. The last check is the second line of defence against giving back
-- more than was taken: it holds even for wrong code.
create table capture (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null,               -- the event that made it; also their order
    capture_id blob not null check (length(capture_id) = 16),
    leg_no integer not null,
    captured_minor integer not null check (captured_minor > 0),
    voided_minor integer not null check (voided_minor >= 0),
    refunded_minor integer not null check (refunded_minor >= 0),
    reserved_minor integer not null check (reserved_minor >= 0),
    disputed_minor integer not null check (disputed_minor >= 0),
    excess_minor integer not null check (excess_minor >= 0),    -- paid beyond captured: an alarm
    captured_at_ms integer not null,
    primary key (merchant_id, payment_id, capture_id),
    check (voided_minor + refunded_minor + reserved_minor + disputed_minor <= captured_minor)
) strict, without rowid;

-- Authorised money that was let go untaken.
create table release (
    merchant_id blob not null,
    payment_id blob not null,
    release_id blob not null check (length(release_id) = 16),
    leg_no integer not null,
    seq integer not null,
    amount_minor integer not null check (amount_minor > 0),
    released_at_ms integer not null,
    primary key (merchant_id, payment_id, release_id)
) strict, without rowid;

create table refund (
    merchant_id blob not null,
    refund_id blob not null check (length(refund_id) = 16),
    payment_id blob not null,
    leg_id blob not null,
    amount_minor integer not null check (amount_minor between 1 and 9007199254740991),
    -- Sum of the allocation rows, added up by the statement that writes them.
    allocated_minor integer not null check (allocated_minor = amount_minor),
    status integer not null check (status between 1 and 13),
    attempt integer not null,
    sends integer not null,
    looks integer not null,
    call_no integer not null,
    next_action_at_ms integer,
    psp_refund text,
    fault_code text,
    fault_text text,
    face text not null,
    actor text not null,
    reason_code text,
    reason_text text,
    reason_id blob,
    note text,
    external_identifier text,
    given_id blob,
    key_text text,
    reference_day integer,
    reference_no integer,
    asked_seq integer not null,
    asked_at_ms integer not null,
    sent_at_ms integer,
    unknown_at_ms integer,              -- when its outcome was first unknown
    settled_at_ms integer,
    updated_at_ms integer not null,
    primary key (merchant_id, refund_id),
    -- An open refund always has a next action time, a closed one never (statuses 1 to 8 are open).
    check ((status <= 8) = (next_action_at_ms is not null))
) strict, without rowid;

create index refund_payment on refund (merchant_id, payment_id, refund_id);
create index refund_due on refund (next_action_at_ms) where next_action_at_ms is not null;

create table allocation (
    merchant_id blob not null,
    refund_id blob not null,
    ordinal integer not null check (ordinal >= 0),
    capture_id blob not null,
    amount_minor integer not null check (amount_minor > 0),
    primary key (merchant_id, refund_id, ordinal)
) strict, without rowid;

-- Every call to a PSP, committed before it is made.
create table attempt (
    merchant_id blob not null,
    refund_id blob not null,
    attempt integer not null check (attempt >= 1),
    kind integer not null check (kind in (1, 2)),   -- 1: refund call, 2: look-up
    call_no integer not null,
    prepared_at_ms integer not null,
    outcome text,
    answered_at_ms integer,
    primary key (merchant_id, refund_id, attempt)
) strict, without rowid;

create table event (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null check (seq >= 1),
    kind integer not null,
    subject blob not null check (length(subject) = 16),
    amount_minor integer not null,
    status integer,
    psp_refund text,
    fault_code text,
    fault_text text,
    actor text not null,
    at_ms integer not null,
    hash blob not null check (length(hash) = 32),
    primary key (merchant_id, payment_id, seq)
) strict, without rowid;

-- One debit and one credit of the same amount: an entry cannot fail to balance.
create table journal (
    merchant_id blob not null,
    payment_id blob not null,
    seq integer not null,               -- the event it belongs to
    line integer not null check (line >= 0),
    capture_id blob not null,
    debit integer not null,
    credit integer not null,
    amount_minor integer not null check (amount_minor > 0),
    primary key (merchant_id, payment_id, seq, line),
    check (debit <> credit)
) strict, without rowid;

create table idempotency (
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
    check ((refund_id is null) <> (refusal is null)),
    check ((answered_seq is null) = (answered_status is null))
) strict, without rowid;

create table alias (
    merchant_id blob not null,
    alias text not null,
    payment_id blob not null,
    primary key (merchant_id, alias, payment_id)
) strict, without rowid;

create index alias_payment on alias (merchant_id, payment_id);

-- Card-message reference numbers: one counter a day for each merchant.
create table reference_counter (
    merchant_id blob not null,
    day integer not null,
    last_no integer not null check (last_no >= 1),
    primary key (merchant_id, day)
) strict, without rowid;

-- What the planner is told of the tables' shape, once and for all: a merchant has many rows, a payment
-- few. Without it SQLite takes "this merchant's" for selective, and reads all of a merchant's refunds
-- to find those of one payment.
analyze;
insert into sqlite_stat1 (tbl, idx, stat) values
    ('payment', 'payment', '1000000 100000 1'),
    ('payment', 'payment_external', '1000000 100000 1'),
    ('payment_head', 'payment_head', '1000000 100000 1'),
    ('leg', 'leg', '1000000 100000 1 1'),
    ('leg', 'leg_id', '1000000 100000 1'),
    ('capture', 'capture', '1000000 100000 1 1'),
    ('release', 'release', '100000 10000 1 1'),
    ('refund', 'refund', '1000000 100000 1'),
    ('refund', 'refund_payment', '1000000 100000 2 1'),
    ('refund', 'refund_due', '1000 1'),
    ('allocation', 'allocation', '1000000 100000 1 1'),
    ('attempt', 'attempt', '1000000 100000 1 1'),
    ('event', 'event', '4000000 400000 4 1'),
    ('journal', 'journal', '4000000 400000 4 1 1'),
    ('idempotency', 'idempotency', '1000000 100000 1'),
    ('alias', 'alias', '1000000 100000 1 1'),
    ('alias', 'alias_payment', '1000000 100000 1'),
    ('api_key', 'api_key', '100 10 1'),
    ('key_lookup', 'key_lookup', '100 1'),
    ('refund_reason', 'refund_reason', '100 10 1');
analyze sqlite_schema;

-- The whole schema, as far as SQLite's 0010. The words are the same; what differs:
-- * Numbers are bigint and ids, hashes and secrets bytea, whatever their length.
-- * Texts that are sorted or unique are compared byte by byte (collate "C"), as SQLite does.
-- * Nothing here is a sequence, a trigger or a foreign key; every unique key of money tables begins
--   with merchant_id, so that tables can be spread over machines by merchant.
-- Amounts are minor units. Times are milliseconds since 1970, always given.

create table merchant (
    merchant_id bytea primary key check (octet_length(merchant_id) = 16),
    slug text collate "C" not null,
    name text not null,
    profile text not null,              -- what faces show and no rule reads: a JSON object
    created_at_ms bigint not null
);

create unique index merchant_slug on merchant (slug);

-- A credential, without its secret.
create table api_key (
    merchant_id bytea not null,
    key_id bytea not null check (octet_length(key_id) = 16),
    face text not null,
    scopes text,                        -- space-separated; null: all that its face offers
    public_key bytea,                   -- SEC1 uncompressed point, where clients sign
    created_at_ms bigint not null,
    revoked_at_ms bigint,
    kind text not null default 'secret' check (kind in ('secret', 'publishable')),
    title text,                         -- null: made at the command line, as are the next two
    redacted text,                      -- what lists show of the secret
    created_by text,
    revoked_by text,
    primary key (merchant_id, key_id)
);

-- SHA-256 of a secret (or of a public key's thumbprint) to its credential. One public key may be
-- registered with several merchants: whoever signs names the merchant meant.
create table key_lookup (
    lookup bytea not null check (octet_length(lookup) = 32),
    merchant_id bytea not null,
    key_id bytea not null,
    primary key (lookup, merchant_id)
);

create table person (
    merchant_id bytea not null,
    person_id bytea not null check (octet_length(person_id) = 16),
    email text collate "C" not null,
    password_hash text not null,        -- argon2id, PHC string
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    primary key (merchant_id, person_id)
);

create unique index person_email on person (email, merchant_id);

-- Secrets of this installation: the key that signs log-in tokens.
create table secret (
    name text collate "C" primary key,
    secret bytea not null
);

-- Log-ins that a browser's cookie stands for. Found before it is known whose they are.
create table session (
    lookup bytea primary key check (octet_length(lookup) = 32),    -- SHA-256 of the cookie's secret
    face text not null,
    merchant_id bytea not null,
    person_id bytea not null check (octet_length(person_id) = 16),
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    check (expires_at_ms > created_at_ms)
);

create index session_expiry on session (expires_at_ms);
create index session_person on session (merchant_id, person_id, created_at_ms);

create table refund_reason (
    merchant_id bytea not null,
    reason_id bytea not null check (octet_length(reason_id) = 16),
    code text collate "C" not null,
    label text collate "C" not null,
    description text,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    deleted_at_ms bigint,
    primary key (merchant_id, reason_id)
);

-- A merchant's account at a PSP. What opens it is sealed before it comes here.
create table connector_account (
    merchant_id bytea not null,
    account_id bytea not null check (octet_length(account_id) = 16),
    name text collate "C" not null,     -- what payments are registered with
    kind text not null,
    mode text not null check (mode in ('test', 'live')),
    base_url text,                      -- null: the PSP's own
    sends_reason bigint not null check (sends_reason in (0, 1)),
    sealed bytea not null,
    created_at_ms bigint not null,
    sealed_at_ms bigint not null,
    primary key (merchant_id, account_id)
);

create unique index connector_account_name on connector_account (merchant_id, name);

-- What was said at registration. Never updated: what changes is in payment_head and capture.
create table payment (
    merchant_id bytea not null,
    payment_id bytea not null check (octet_length(payment_id) = 16),
    currency text not null check (length(currency) = 3),
    exponent bigint not null check (exponent between 0 and 4),
    connector text not null,
    connector_payment text,
    connector_settings text,
    external_identifier text collate "C",
    order_ref text collate "C",
    customer text collate "C",
    description text,
    profile text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 16),
    created_at_ms bigint not null,
    cancelled_at_ms bigint,
    fault_code text,                    -- the PSP's no to the payment itself
    fault_text text,
    primary key (merchant_id, payment_id)
);

create unique index payment_external on payment (merchant_id, external_identifier)
    where external_identifier is not null;
create index payment_order on payment (merchant_id, order_ref) where order_ref is not null;
create index payment_created on payment (merchant_id, created_at_ms, payment_id);

-- The newest event of a payment: number and hash, and how often its PSP was called for a refund.
-- Whoever changes anything of a payment locks its row first.
create table payment_head (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null check (seq >= 1),
    hash bytea not null check (octet_length(hash) = 32),
    calls bigint not null check (calls >= 0),
    updated_at_ms bigint not null,
    primary key (merchant_id, payment_id)
);

create index payment_updated on payment_head (merchant_id, updated_at_ms, payment_id);

create table leg (
    merchant_id bytea not null,
    payment_id bytea not null,
    leg_no bigint not null check (leg_no >= 0),     -- 0: the payment method
    leg_id bytea not null check (octet_length(leg_id) = 16),
    amount_minor bigint not null check (amount_minor between 0 and 9007199254740991),
    released_minor bigint not null default 0
        check (released_minor between 0 and amount_minor),
    primary key (merchant_id, payment_id, leg_no)
);

create unique index leg_id on leg (merchant_id, leg_id);

-- What became of each capture. The last check is the second line of defence against giving back
-- more than was taken: it holds even for wrong code.
create table capture (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null,                -- the event that made it; also their order
    capture_id bytea not null check (octet_length(capture_id) = 16),
    leg_no bigint not null,
    captured_minor bigint not null check (captured_minor > 0),
    voided_minor bigint not null check (voided_minor >= 0),
    refunded_minor bigint not null check (refunded_minor >= 0),
    reserved_minor bigint not null check (reserved_minor >= 0),
    disputed_minor bigint not null check (disputed_minor >= 0),
    excess_minor bigint not null check (excess_minor >= 0),     -- paid beyond captured: an alarm
    captured_at_ms bigint not null,
    primary key (merchant_id, payment_id, capture_id),
    check (voided_minor + refunded_minor + reserved_minor + disputed_minor <= captured_minor)
) with (fillfactor = 80);

-- Authorised money that was let go untaken.
create table release (
    merchant_id bytea not null,
    payment_id bytea not null,
    release_id bytea not null check (octet_length(release_id) = 16),
    leg_no bigint not null,
    seq bigint not null,
    amount_minor bigint not null check (amount_minor > 0),
    released_at_ms bigint not null,
    primary key (merchant_id, payment_id, release_id)
);

create table refund (
    merchant_id bytea not null,
    refund_id bytea not null check (octet_length(refund_id) = 16),
    payment_id bytea not null,
    leg_id bytea not null,
    amount_minor bigint not null check (amount_minor between 1 and 9007199254740991),
    -- Sum of the allocation rows, added up by the program that writes them.
    allocated_minor bigint not null check (allocated_minor = amount_minor),
    status bigint not null check (status between 1 and 13),
    attempt bigint not null,
    sends bigint not null,
    looks bigint not null,
    call_no bigint not null,
    next_action_at_ms bigint,
    psp_refund text,
    fault_code text,
    fault_text text,
    face text not null,
    actor text not null,
    reason_code text,
    reason_text text,
    reason_id bytea,
    note text,
    external_identifier text,
    given_id bytea,
    key_text text,
    reference_day bigint,
    reference_no bigint,
    asked_seq bigint not null,
    asked_at_ms bigint not null,
    sent_at_ms bigint,
    unknown_at_ms bigint,               -- when its outcome was first unknown
    settled_at_ms bigint,
    updated_at_ms bigint not null,
    metadata text,                      -- a JSON object
    heard_at_ms bigint,                 -- when the newest notice that was believed says that it happened
    primary key (merchant_id, refund_id),
    -- An open refund always has a next action time, a closed one never (statuses 1 to 8 are open).
    check ((status <= 8) = (next_action_at_ms is not null))
);

create index refund_payment on refund (merchant_id, payment_id, refund_id);
create index refund_due on refund (next_action_at_ms) where next_action_at_ms is not null;
create index refund_given on refund (merchant_id, given_id) where given_id is not null;
create index refund_updated on refund (merchant_id, updated_at_ms, refund_id);
-- Refunds that were made at the PSP itself: few, and looked for at every answer of a PSP.
create index refund_external on refund (merchant_id, payment_id, psp_refund)
    where face = 'external';

create table allocation (
    merchant_id bytea not null,
    refund_id bytea not null,
    ordinal bigint not null check (ordinal >= 0),
    capture_id bytea not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (merchant_id, refund_id, ordinal)
);

-- Every call to a PSP, committed before it is made.
create table attempt (
    merchant_id bytea not null,
    refund_id bytea not null,
    attempt bigint not null check (attempt >= 1),
    kind bigint not null check (kind in (1, 2)),    -- 1: refund call, 2: look-up
    call_no bigint not null,
    prepared_at_ms bigint not null,
    outcome text,
    answered_at_ms bigint,
    primary key (merchant_id, refund_id, attempt)
);

create table event (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null check (seq >= 1),
    kind bigint not null,
    subject bytea not null check (octet_length(subject) = 16),
    amount_minor bigint not null,
    status bigint,
    psp_refund text,
    fault_code text,
    fault_text text,
    actor text not null,
    at_ms bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    primary key (merchant_id, payment_id, seq)
);

-- One debit and one credit of the same amount: an entry cannot fail to balance.
create table journal (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null,                -- the event it belongs to
    line bigint not null check (line >= 0),
    capture_id bytea not null,
    debit bigint not null,
    credit bigint not null,
    amount_minor bigint not null check (amount_minor > 0),
    primary key (merchant_id, payment_id, seq, line),
    check (debit <> credit)
);

-- What a key stands for: a refund, a refusal, or a payment and the event that tells of a
-- registration, capture, void or extension.
create table idempotency (
    merchant_id bytea not null,
    key_hash bytea not null check (octet_length(key_hash) = 16),
    fingerprint bytea not null check (octet_length(fingerprint) = 16),
    at_ms bigint not null,
    payment_id bytea,
    refund_id bytea,
    answered_seq bigint,                -- the payment's event number at the first answer
    answered_status bigint,
    refusal text,
    was_present bigint not null default 0 check (was_present in (0, 1)),
    primary key (merchant_id, key_hash),
    check (case
        when refusal is not null then refund_id is null and answered_seq is null
        when refund_id is not null then (answered_seq is null) = (answered_status is null)
        else answered_seq is not null and answered_status is null end),
    check ((payment_id is null) = (refusal is not null))
);

create table alias (
    merchant_id bytea not null,
    alias text collate "C" not null,
    payment_id bytea not null,
    primary key (merchant_id, alias, payment_id)
);

create index alias_payment on alias (merchant_id, payment_id);

-- Card-message reference numbers: one counter a day for each merchant.
create table reference_counter (
    merchant_id bytea not null,
    day bigint not null,
    last_no bigint not null check (last_no >= 1),
    primary key (merchant_id, day)
) with (fillfactor = 50);

-- What is kept of a registration, capture, void or extension besides its event.
create table operation (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null,                -- the event that tells of it
    kind bigint not null check (kind between 1 and 4),
    is_final bigint not null check (is_final in (0, 1)),
    face text not null,
    given_id bytea,
    external_identifier text,
    reference_day bigint,
    reference_no bigint,
    primary key (merchant_id, payment_id, seq)
);

-- What an event of kind "amended" put in place of what was registered.
create table amendment (
    merchant_id bytea not null,
    payment_id bytea not null,
    seq bigint not null,
    renames bigint not null check (renames in (0, 1)),
    external_identifier text,
    metadata text,                      -- a JSON object; null: as it was
    primary key (merchant_id, payment_id, seq),
    check (renames = 1 or external_identifier is null)
);

-- Every name that a payment has or had, its registration's too: two payments registered and renamed
-- at once, on two lanes, cannot get one name.
create table renamed (
    merchant_id bytea not null,
    external_identifier text collate "C" not null,
    payment_id bytea not null,
    primary key (merchant_id, external_identifier)
);

-- An amount that is asked for an order. No money is in it: what pays it is the payment with its id.
create table payment_collection (
    merchant_id bytea not null,
    collection_id bytea not null check (octet_length(collection_id) = 16),
    order_ref text collate "C" not null,
    currency text not null check (length(currency) = 3),
    exponent bigint not null check (exponent between 0 and 4),
    amount_minor bigint not null check (amount_minor between 1 and 9007199254740991),
    provider text,                      -- of its payment session; null: it has none
    session_at_ms bigint,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    marked_at_ms bigint,                -- when somebody said that it is paid; its payment may follow
    marked_by text,
    primary key (merchant_id, collection_id),
    check ((provider is null) = (session_at_ms is null)),
    check ((marked_at_ms is null) = (marked_by is null))
);

-- What keyed requests that move no money were answered. Written with what the request changed, both or
-- neither. Body: as sent, without secrets; null where the books tell it.
create table kept_answer (
    merchant_id bytea not null,
    key_hash bytea not null check (octet_length(key_hash) = 16),
    fingerprint bytea not null check (octet_length(fingerprint) = 16),
    subject bytea not null check (octet_length(subject) = 16),
    body text,
    at_ms bigint not null,
    primary key (merchant_id, key_hash)
);

-- Why goods come back (Medusa v1).
create table return_reason (
    merchant_id bytea not null,
    reason_id bytea not null check (octet_length(reason_id) = 16),
    code text collate "C" not null,     -- its value, as the dialect calls it
    label text collate "C" not null,
    description text,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    deleted_at_ms bigint,
    primary key (merchant_id, reason_id)
);

create unique index return_reason_code on return_reason (merchant_id, code)
    where deleted_at_ms is null;

-- A refund that was asked for an order, written before any of its parts is asked for.
create table order_refund (
    merchant_id bytea not null,
    order_refund_id bytea not null check (octet_length(order_refund_id) = 16),
    order_ref text collate "C" not null,
    amount_minor bigint not null check (amount_minor >= 1),
    reason text not null,
    note text,
    key_text text,
    refusal text,                       -- why it has no parts
    created_at_ms bigint not null,
    primary key (merchant_id, order_refund_id)
);

create index order_refund_order on order_refund (merchant_id, order_ref, order_refund_id);

-- One row for each payment that the order had, whether or not something is taken from it.
create table order_refund_part (
    merchant_id bytea not null,
    order_refund_id bytea not null,
    ordinal bigint not null check (ordinal >= 0),
    payment_id bytea not null,
    seen_seq bigint not null check (seen_seq >= 1),     -- the payment's event number at the planning
    refund_id bytea check (octet_length(refund_id) = 16),       -- null: nothing is taken from it
    amount_minor bigint not null check (amount_minor >= 0),
    primary key (merchant_id, order_refund_id, ordinal),
    check ((refund_id is null) = (amount_minor = 0))
);

-- Something about a refund that a person should see.
create table alarm (
    merchant_id bytea not null,
    at_ms bigint not null,
    refund_id bytea not null,
    alarm text collate "C" not null,
    payment_id bytea not null,
    primary key (merchant_id, at_ms, refund_id, alarm)
);

-- Messages of PSPs, once each: a row is there before the PSP is thanked.
create table inbox_message (
    merchant_id bytea not null,
    account_id bytea not null check (octet_length(account_id) = 16),
    message_id text collate "C" not null,   -- the PSP's own
    word text not null,                 -- the PSP's own, of what it tells
    state bigint not null check (state between 1 and 4),    -- waiting, processed, ignored, quarantined
    notice text,                        -- what it tells, in our form, as long as it waits
    result text,
    refund_id bytea,
    tries bigint not null check (tries >= 0),
    received_at_ms bigint not null,
    next_try_at_ms bigint,
    done_at_ms bigint,
    primary key (merchant_id, account_id, message_id),
    check ((state = 1) = (next_try_at_ms is not null)),
    check ((state = 1) = (done_at_ms is null))
);

create index inbox_due on inbox_message (next_try_at_ms) where next_try_at_ms is not null;
create index inbox_waiting on inbox_message (merchant_id, account_id) where state = 1;
create index inbox_received on inbox_message (merchant_id, received_at_ms, message_id);
create index inbox_done on inbox_message (done_at_ms) where done_at_ms is not null;

-- How far an account's own list of refunds was read.
create table connector_sweep (
    merchant_id bytea not null,
    account_id bytea not null,
    since_ms bigint not null,           -- everything that was made before is known
    next_at_ms bigint not null,
    primary key (merchant_id, account_id)
);

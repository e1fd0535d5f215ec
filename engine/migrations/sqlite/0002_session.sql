-- Log-ins that a browser's cookie stands for. Found before it is known whose they are.
create table session (
    lookup blob primary key check (length(lookup) = 32),    -- SHA-256 of the cookie's secret
    face text not null,
    merchant_id blob not null,
    person_id blob not null check (length(person_id) = 16),
    created_at_ms integer not null,
    expires_at_ms integer not null,
    check (expires_at_ms > created_at_ms)
) strict, without rowid;

create index session_expiry on session (expires_at_ms);
create index session_person on session (merchant_id, person_id, created_at_ms);

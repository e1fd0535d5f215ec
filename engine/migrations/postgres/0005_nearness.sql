-- Rows that a refund writes lie where few pages hold them: with the refund, whose ids grow with time, and not
-- with its payment, which may be any.

-- When each payment changed: a row more at every change, and none is taken away. The row that its head names is the
-- newest; the others are passed over. So a head has no indexed column that changes, and is updated in its own page.
create table payment_change (
    merchant_id bytea not null,
    updated_at_ms bigint not null,
    payment_id bytea not null,
    primary key (merchant_id, updated_at_ms, payment_id)
);
insert into payment_change select merchant_id, updated_at_ms, payment_id from payment_head;
drop index payment_updated;
alter table payment_head set (fillfactor = 80);

-- Each refund names the one before it, and a head its newest. Here an index finds them as well, for to walk from one
-- to the next takes long in PostgreSQL.
alter table payment_head add column newest_refund bytea check (octet_length(newest_refund) = 16);
alter table refund add column previous_refund bytea check (octet_length(previous_refund) = 16);
update refund r set previous_refund = b.previous
from (select merchant_id, refund_id,
        lag(refund_id) over (partition by merchant_id, payment_id order by asked_seq) as previous
    from refund) b
where b.merchant_id = r.merchant_id and b.refund_id = r.refund_id and b.previous is not null;
update payment_head h set newest_refund = n.refund_id
from (select distinct on (merchant_id, payment_id) merchant_id, payment_id, refund_id
    from refund order by merchant_id, payment_id, asked_seq desc) n
where n.merchant_id = h.merchant_id and n.payment_id = h.payment_id;

-- Events lie with what they are about: those of a refund (kinds 4, 8 and 9) side by side, a payment's others as well.
alter table event drop constraint event_pkey;
alter table event add column about bytea check (octet_length(about) = 16);    -- the refund, or the payment
update event set about = case when kind in (4, 8, 9) then subject else payment_id end;
alter table event alter column subject drop not null;                         -- null: as `about`
update event set subject = null where subject = about;
alter table event alter column about set not null;
alter table event add primary key (merchant_id, about, seq);

-- And entries with their events.
alter table journal add column about bytea;
update journal j set about = e.about from event e
where e.merchant_id = j.merchant_id and e.payment_id = j.payment_id and e.seq = j.seq;
alter table journal alter column about set not null;
alter table journal drop constraint journal_pkey;
alter table journal drop column payment_id;
alter table journal add primary key (merchant_id, about, seq, line);

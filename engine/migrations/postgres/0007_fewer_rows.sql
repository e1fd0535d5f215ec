-- A refund costs the rows that it writes, each with its place in an index.

-- The first part of a refund lies in its row: nearly every refund is of one capture. Others are in `allocation`, from 1 on.
alter table refund add column capture_id bytea check (octet_length(capture_id) = 16);
alter table refund add column capture_minor bigint check (capture_minor between 1 and amount_minor);
update refund r set capture_id = a.capture_id, capture_minor = a.amount_minor from allocation a
where a.merchant_id = r.merchant_id and a.refund_id = r.refund_id and a.ordinal = 0;
delete from allocation where ordinal = 0;

-- And the first entry of an event in the event's. Others are in `journal`, from 1 on. One debit and one credit of the same
-- amount: an entry cannot fail to balance.
alter table event add column capture_id bytea check (octet_length(capture_id) = 16);
alter table event add column debit bigint;
alter table event add column credit bigint check (debit <> credit);
alter table event add column moved_minor bigint check (moved_minor > 0);
update event e set capture_id = j.capture_id, debit = j.debit, credit = j.credit, moved_minor = j.amount_minor from journal j
where j.merchant_id = e.merchant_id and j.about = e.about and j.seq = e.seq and j.line = 0;
delete from journal where line = 0;

-- A refund costs the pages that its rows touch, and each row a search: fewer of both.

-- A payment's row keeps its length when its first refund comes: pages are full of such rows, and one that grows has to
-- be split, over three pages and more. So sixteen zero bytes hold the place of the newest refund of a payment that has none.
update book set newest_refund = zeroblob(16) where line = 0 and newest_refund is null;
drop view payment_head;
create view payment_head as
    select merchant_id, payment_id, seq, hash, calls, updated_at_ms,
        nullif(newest_refund, x'00000000000000000000000000000000') as newest_refund
    from book where line = 0;

-- The first part of a refund lies in its row: nearly every refund is of one capture. Others are in `allocation`, from 1 on.
alter table refund add column capture_id blob check (length(capture_id) = 16);
alter table refund add column capture_minor integer check (capture_minor between 1 and amount_minor);
update refund set (capture_id, capture_minor) = (
    select a.capture_id, a.amount_minor from allocation a
    where a.merchant_id = refund.merchant_id and a.refund_id = refund.refund_id and a.ordinal = 0);
delete from allocation where ordinal = 0;

-- And the first entry of an event in the event's. Others are in `journal`, from 1 on. One debit and one credit of the same
-- amount: an entry cannot fail to balance.
alter table event add column capture_id blob check (length(capture_id) = 16);
alter table event add column debit integer;
alter table event add column credit integer check (debit <> credit);
alter table event add column moved_minor integer check (moved_minor > 0);
update event set (capture_id, debit, credit, moved_minor) = (
    select j.capture_id, j.debit, j.credit, j.amount_minor from journal j
    where j.merchant_id = event.merchant_id and j.about = event.about and j.seq = event.seq and j.line = 0);
delete from journal where line = 0;

-- A call of a third kind: a PSP is asked to cancel a refund.
alter table attempt drop constraint attempt_kind_check;
alter table attempt add constraint attempt_kind_check check (kind in (1, 2, 3));

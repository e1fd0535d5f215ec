//! What a batch changes of payments: what was registered, heads, releases and captures.

use std::collections::BTreeMap;

use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, RefundId};
use requite_core::payment::Sums;

use super::Before;
use crate::command::Registration;
use crate::store::postgres::link::{Trouble, Writes};
use crate::store::postgres::rows::{Cell, Rows, corrupt, row};
use crate::store::{Book, BookChange};

pub(super) fn insert_payments<'c>(writes: &mut Writes<'c>, registered: &'c [Registration]) {
    let mut registered: Vec<&'c Registration> = registered.iter().collect();
    registered.sort_by_key(|new| (new.merchant, new.payment));
    let sql = "-- insert_payments
        insert into payment (merchant_id, payment_id, currency, exponent, connector,
            connector_payment, connector_settings, external_identifier, order_ref, customer,
            description, profile, fingerprint, created_at_ms, cancelled_at_ms, fault_code,
            fault_text)
        select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
            $16, $17)";
    writes.all(sql, Rows::of(registered.iter().map(|new| payment_row(new))));
    let sql = "-- insert_legs
        insert into leg (merchant_id, payment_id, leg_no, leg_id, amount_minor)
        select * from unnest($1, $2, $3, $4, $5)";
    let rows = Rows::of(registered.iter().flat_map(|new| {
        let legs = std::iter::once(&new.primary).chain(&new.gift_cards);
        legs.zip(0_i64..).map(|(leg, number)| {
            let amount = leg.amount.units();
            row![new.merchant.bits(), new.payment.bits(), number, leg.id.bits(), amount]
        })
    }));
    writes.all(sql, rows);
    insert_aliases(writes, &registered);
    let names = registered.iter().filter_map(|new| {
        let name = new.external_identifier.as_ref()?;
        Some((new.merchant, name.as_str(), new.payment))
    });
    take_names(writes, names.collect())
}

fn payment_row(new: &Registration) -> [Cell<'_>; 17] {
    let decline = new.decline.as_ref();
    row![
        new.merchant.bits(),
        new.payment.bits(),
        new.currency.code(),
        new.currency.exponent(),
        &new.connector,
        new.connector_payment.as_ref(),
        new.connector_settings.as_ref(),
        new.external_identifier.as_ref(),
        new.order.as_ref(),
        new.customer.as_ref(),
        new.description.as_ref(),
        &new.profile,
        new.fingerprint,
        new.created_at_ms,
        new.cancelled_at_ms,
        decline.map(|fault| &fault.code),
        decline.map(|fault| &fault.text),
    ]
}

fn insert_aliases<'c>(writes: &mut Writes<'c>, registered: &[&'c Registration]) {
    let mut aliases: Vec<(MerchantId, &'c str, PaymentId)> = Vec::new();
    for new in registered {
        let own = new.aliases.iter().chain(&new.connector_payment);
        aliases.extend(own.map(|alias| (new.merchant, alias.as_str(), new.payment)));
    }
    aliases.sort_unstable();
    aliases.dedup();
    let sql = "-- insert_aliases
        insert into alias (merchant_id, alias, payment_id)
        select * from unnest($1, $2, $3) on conflict do nothing";
    let rows = aliases
        .iter()
        .map(|(merchant, alias, payment)| row![merchant.bits(), *alias, payment.bits()]);
    writes.some(sql, Rows::of(rows));
}

/// Names belong to the payment that had them first, for ever. One that another payment has taken
/// since rolls the batch back.
pub(super) fn take_names<'c>(
    writes: &mut Writes<'c>,
    mut names: Vec<(MerchantId, &'c str, PaymentId)>,
) {
    names.sort_unstable();
    names.dedup();
    let sql = "-- take_names
        insert into renamed as r (merchant_id, external_identifier, payment_id)
        select * from unnest($1, $2, $3)
        on conflict (merchant_id, external_identifier) do update
            set payment_id = excluded.payment_id where r.payment_id = excluded.payment_id";
    let rows =
        names.iter().map(|(merchant, name, payment)| row![merchant.bits(), *name, payment.bits()]);
    writes.all(sql, Rows::of(rows));
}

pub(super) fn save_heads<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
    before: &Before,
) -> Result<(), Trouble> {
    let mut new = Rows::default();
    let mut moved = Rows::default();
    let mut changed = Rows::default();
    for BookChange { merchant, book, is_new, .. } in books {
        let of = (*merchant, book.payment.id());
        let (merchant, payment) = (of.0.bits(), of.1.bits());
        let newest = book.newest_refund.map(RefundId::bits);
        changed.push(row![merchant, book.updated_at_ms, payment]);
        if *is_new {
            let (seq, hash, calls) = (book.seq, book.hash, book.calls);
            new.push(row![merchant, payment, seq, hash, calls, book.updated_at_ms, newest]);
        } else {
            let was = before.heads.get(&of).copied();
            let was = was.ok_or_else(|| corrupt("no head of a payment that was read"))?;
            let (seq, hash, calls) = (book.seq, book.hash, book.calls);
            moved.push(row![merchant, payment, was, seq, hash, calls, book.updated_at_ms, newest]);
        }
    }
    let sql = "-- insert_heads
        insert into payment_head (merchant_id, payment_id, seq, hash, calls, updated_at_ms,
            newest_refund)
        select * from unnest($1, $2, $3, $4, $5, $6, $7)";
    writes.all(sql, new);
    let sql = "-- update_heads
        update payment_head h
        set seq = n.seq, hash = n.hash, calls = n.calls, updated_at_ms = n.updated_at_ms,
            newest_refund = n.newest_refund
        from unnest($1, $2, $3, $4, $5, $6, $7, $8)
            as n (merchant_id, payment_id, was_seq, seq, hash, calls, updated_at_ms,
                newest_refund)
        where h.merchant_id = n.merchant_id and h.payment_id = n.payment_id
            and h.seq = n.was_seq";
    writes.all(sql, moved);
    let sql = "-- insert_changes
        insert into payment_change (merchant_id, updated_at_ms, payment_id)
        select * from unnest($1, $2, $3) on conflict do nothing";
    writes.some(sql, changed);
    Ok(())
}

pub(super) fn save_releases<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
) -> Result<(), Trouble> {
    let mut new = Rows::default();
    let mut by_leg: BTreeMap<(MerchantId, PaymentId, i64), i64> = BTreeMap::new();
    for change in books {
        let (merchant, payment) = (change.merchant, change.book.payment.id());
        for release in &change.new_releases {
            let (leg_no, amount) = (leg_number(&change.book, release.leg)?, release.amount.units());
            let (seq, at_ms) = (release.seq, release.at_ms);
            new.push(row![merchant.bits(), payment.bits(), release.id, leg_no, seq, amount, at_ms]);
            let sum = by_leg.entry((merchant, payment, leg_no)).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    let sql = "-- insert_releases
        insert into release (merchant_id, payment_id, release_id, leg_no, seq, amount_minor,
            released_at_ms)
        select * from unnest($1, $2, $3, $4, $5, $6, $7)";
    writes.all(sql, new);
    let sql = "-- release_legs
        update leg l set released_minor = l.released_minor + n.amount_minor
        from unnest($1, $2, $3, $4) as n (merchant_id, payment_id, leg_no, amount_minor)
        where l.merchant_id = n.merchant_id and l.payment_id = n.payment_id
            and l.leg_no = n.leg_no";
    let rows = by_leg.iter().map(|(&(merchant, payment, leg_no), &amount)| {
        row![merchant.bits(), payment.bits(), leg_no, amount]
    });
    writes.all(sql, Rows::of(rows));
    Ok(())
}

pub(super) fn save_captures<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
) -> Result<(), Trouble> {
    let mut new = Rows::default();
    let mut changed = Rows::default();
    for BookChange { merchant, book, balances, new_captures, .. } in books {
        let (merchant, payment) = (merchant.bits(), book.payment.id().bits());
        for capture in new_captures {
            let sums = sums(book, capture.id)?;
            new.push(row![
                merchant,
                payment,
                capture.id.bits(),
                leg_number(book, capture.leg)?,
                capture.seq,
                sums.captured.units(),
                sums.voided.units(),
                sums.refunded.units(),
                sums.reserved.units(),
                sums.disputed.units(),
                sums.excess.units(),
                capture.at_ms,
            ]);
        }
        let is_new = |id| new_captures.iter().any(|new| new.id == id);
        for &id in balances.iter().filter(|id| !is_new(**id)) {
            let sums = sums(book, id)?;
            changed.push(row![
                merchant,
                payment,
                id.bits(),
                sums.voided.units(),
                sums.refunded.units(),
                sums.reserved.units(),
                sums.disputed.units(),
                sums.excess.units(),
            ]);
        }
    }
    let sql = "-- insert_captures
        insert into capture (merchant_id, payment_id, capture_id, leg_no, seq, captured_minor,
            voided_minor, refunded_minor, reserved_minor, disputed_minor, excess_minor,
            captured_at_ms)
        select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    writes.all(sql, new);
    let sql = "-- update_captures
        update capture c set voided_minor = n.voided, refunded_minor = n.refunded,
            reserved_minor = n.reserved, disputed_minor = n.disputed, excess_minor = n.excess
        from unnest($1, $2, $3, $4, $5, $6, $7, $8)
            as n (merchant_id, payment_id, capture_id, voided, refunded, reserved, disputed, excess)
        where c.merchant_id = n.merchant_id and c.payment_id = n.payment_id
            and c.capture_id = n.capture_id";
    writes.all(sql, changed);
    Ok(())
}

fn leg_number(book: &Book, leg: LegId) -> Result<i64, Trouble> {
    let at = book.payment.legs().iter().zip(0_i64..).find(|(known, _)| known.id() == leg);
    at.map(|(_, number)| number).ok_or_else(|| corrupt("a change of a leg that is not there"))
}

fn sums(book: &Book, id: CaptureId) -> Result<Sums, Trouble> {
    let found = book.payment.capture(id);
    let found = found.ok_or_else(|| corrupt("a change of a capture that is not there"))?;
    Ok(found.balance.sums())
}

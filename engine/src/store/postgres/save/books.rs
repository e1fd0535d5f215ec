//! What a batch changes of payments: what was registered, heads, releases and captures.

use std::collections::{BTreeMap, BTreeSet};

use requite_core::id::{MerchantId, PaymentId, RefundId};

use super::Before;
use crate::command::Registration;
use crate::store::postgres::link::{Trouble, Writes};
use crate::store::postgres::rows::{Cell, Rows, corrupt, row};
use crate::store::sql::book::{leg_number, lines_of_new, sums};
use crate::store::{Book, BookChange, NewAmendment, NewCapture};

pub(super) fn insert_payments<'c>(writes: &mut Writes<'c>, registered: &'c [Registration]) {
    let mut registered: Vec<&'c Registration> = registered.iter().collect();
    registered.sort_by_key(|new| (new.merchant, new.payment));
    let sql = "-- insert_payments
        insert into payment (merchant_id, payment_id, currency, exponent, connector,
            connector_payment, connector_settings, external_identifier, order_ref, customer,
            description, profile, fingerprint, created_at_ms, cancelled_at_ms, fault_code,
            fault_text)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12),
            unnest($13), unnest($14), unnest($15), unnest($16), unnest($17)";
    writes.all(sql, Rows::of(registered.iter().map(|new| payment_row(new))));
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
        select unnest($1), unnest($2), unnest($3) on conflict do nothing";
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
        select unnest($1), unnest($2), unnest($3)
        on conflict (merchant_id, external_identifier) do update
            set payment_id = excluded.payment_id where r.payment_id = excluded.payment_id";
    let rows =
        names.iter().map(|(merchant, name, payment)| row![merchant.bits(), *name, payment.bits()]);
    writes.all(sql, Rows::of(rows));
}

/// Payments are changed where they were, and new ones are added with their gift cards.
pub(super) fn save_books<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
    before: &Before,
) -> Result<(), Trouble> {
    let mut moved = Rows::default();
    for change in books.iter().filter(|change| !change.is_new) {
        moved.push(moved_row(change, before)?);
    }
    insert_books(writes, books)?;
    let sql = "-- update_books
        update book b
        set seq = n.seq, hash = n.hash, calls = n.calls, updated_at_ms = n.updated_at_ms,
            newest_refund = n.newest_refund, lines = n.lines, voided_minor = n.voided,
            refunded_minor = n.refunded, reserved_minor = n.reserved, disputed_minor = n.disputed,
            excess_minor = n.excess
        from (select unnest($1) as merchant_id, unnest($2) as payment_id, unnest($3) as was_seq,
                unnest($4) as seq, unnest($5) as hash, unnest($6) as calls,
                unnest($7) as updated_at_ms, unnest($8) as newest_refund, unnest($9) as lines,
                unnest($10) as voided, unnest($11) as refunded, unnest($12) as reserved,
                unnest($13) as disputed, unnest($14) as excess) n
        where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line = 0
            and b.seq = n.was_seq";
    writes.all(sql, moved);
    Ok(())
}

/// A payment's head, with what became of the capture that lies beside it.
fn moved_row<'a>(change: &BookChange, before: &Before) -> Result<[Cell<'a>; 14], Trouble> {
    let BookChange { merchant, book, new_captures, .. } = change;
    let place = before.place((*merchant, book.payment.id()))?;
    let beside = place.capture.map(|id| sums(book, id)).transpose()?;
    Ok(row![
        merchant.bits(),
        book.payment.id().bits(),
        place.seq,
        book.seq,
        book.hash,
        book.calls,
        book.updated_at_ms,
        book.newest_refund.map(RefundId::bits),
        place.lines_with(new_captures.len()),
        beside.map(|sums| sums.voided.units()),
        beside.map(|sums| sums.refunded.units()),
        beside.map(|sums| sums.reserved.units()),
        beside.map(|sums| sums.disputed.units()),
        beside.map(|sums| sums.excess.units()),
    ])
}

/// Heads of what was registered, each with its payment method and its first capture; and gift cards.
fn insert_books<'c>(writes: &mut Writes<'c>, books: &'c [BookChange]) -> Result<(), Trouble> {
    let mut heads = Rows::default();
    let mut cards = Rows::default();
    for change in books.iter().filter(|change| change.is_new) {
        heads.push(head_row(change)?);
        let (merchant, payment) = (change.merchant.bits(), change.book.payment.id().bits());
        for (leg, number) in change.book.payment.legs().iter().zip(0_i64..).skip(1) {
            let (amount, released) = (leg.amount().units(), leg.released().units());
            let line = number.saturating_neg();
            cards.push(row![merchant, payment, line, leg.id().bits(), amount, released]);
        }
    }
    let sql = "-- insert_books
        insert into book (merchant_id, payment_id, line, lines, seq, hash, calls, updated_at_ms,
            newest_refund, currency, exponent, is_closed, connector, connector_payment,
            connector_settings, external_identifier, order_ref, fingerprint, leg_id, amount_minor,
            released_minor, capture_id, capture_seq, capture_leg, captured_minor, voided_minor,
            refunded_minor, reserved_minor, disputed_minor, excess_minor, captured_at_ms)
        select unnest($1), unnest($2), 0, unnest($3), unnest($4), unnest($5), unnest($6),
            unnest($7), unnest($8), unnest($9), unnest($10), unnest($11), unnest($12), unnest($13),
            unnest($14), unnest($15), unnest($16), unnest($17), unnest($18), unnest($19),
            unnest($20), unnest($21), unnest($22), unnest($23), unnest($24), unnest($25),
            unnest($26), unnest($27), unnest($28), unnest($29), unnest($30)";
    writes.all(sql, heads);
    let sql = "-- insert_gift_cards
        insert into book (merchant_id, payment_id, line, leg_id, amount_minor, released_minor)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6)";
    writes.all(sql, cards);
    Ok(())
}

fn head_row(change: &BookChange) -> Result<[Cell<'_>; 30], Trouble> {
    let BookChange { merchant, book, new_captures, .. } = change;
    let payment = &book.payment;
    let (first, sums) = match new_captures.first() {
        Some(first) => (Some(first), Some(sums(book, first.id)?)),
        None => (None, None),
    };
    Ok(row![
        merchant.bits(),
        payment.id().bits(),
        lines_of_new(book, new_captures.len()),
        book.seq,
        book.hash,
        book.calls,
        book.updated_at_ms,
        book.newest_refund.map(RefundId::bits),
        payment.currency().code().to_owned(),
        payment.currency().exponent(),
        payment.is_cancelled(),
        &book.connector,
        book.connector_payment.as_ref(),
        book.connector_settings.as_ref(),
        book.external_identifier.as_ref(),
        book.order.as_ref(),
        book.registration_fingerprint,
        payment.primary().id().bits(),
        payment.primary().amount().units(),
        payment.primary().released().units(),
        first.map(|first| first.id.bits()),
        first.map(|first| first.seq),
        first.map(|first| leg_number(book, first.leg)).transpose()?,
        sums.map(|sums| sums.captured.units()),
        sums.map(|sums| sums.voided.units()),
        sums.map(|sums| sums.refunded.units()),
        sums.map(|sums| sums.reserved.units()),
        sums.map(|sums| sums.disputed.units()),
        sums.map(|sums| sums.excess.units()),
        first.map(|first| first.at_ms),
    ])
}

/// What payments are called now.
pub(super) fn rename_books<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
    amendments: &[NewAmendment],
) {
    let renamed: BTreeSet<(MerchantId, PaymentId)> = amendments
        .iter()
        .filter(|new| new.external_identifier.is_some())
        .map(|new| (new.merchant, new.payment))
        .collect();
    let rows = books
        .iter()
        .filter(|change| renamed.contains(&(change.merchant, change.book.payment.id())))
        .map(|BookChange { merchant, book, .. }| {
            let name = book.external_identifier.as_ref();
            row![merchant.bits(), book.payment.id().bits(), name]
        });
    let sql = "-- rename_books
        update book b set external_identifier = n.external_identifier
        from unnest($1, $2, $3) as n (merchant_id, payment_id, external_identifier)
        where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line = 0";
    writes.all(sql, Rows::of(rows));
}

pub(super) fn save_releases<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
) -> Result<(), Trouble> {
    let mut new = Rows::default();
    let mut legs: BTreeMap<(MerchantId, PaymentId, i64), i64> = BTreeMap::new();
    for change in books {
        let (merchant, payment) = (change.merchant, change.book.payment.id());
        for release in &change.new_releases {
            let leg_no = leg_number(&change.book, release.leg)?;
            let (seq, amount, at_ms) = (release.seq, release.amount.units(), release.at_ms);
            new.push(row![merchant.bits(), payment.bits(), release.id, leg_no, seq, amount, at_ms]);
            let leg = change.book.payment.leg(release.leg);
            let leg = leg.ok_or_else(|| corrupt("a release of a leg that is not there"))?;
            let line = leg_no.saturating_neg();
            legs.insert((merchant, payment, line), leg.released().units());
        }
    }
    let sql = "-- insert_releases
        insert into release (merchant_id, payment_id, release_id, leg_no, seq, amount_minor,
            released_at_ms)
        select unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7)";
    writes.all(sql, new);
    let sql = "-- release_legs
        update book b set released_minor = n.released_minor
        from unnest($1, $2, $3, $4) as n (merchant_id, payment_id, line, released_minor)
        where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line = n.line";
    let rows = legs.iter().map(|(&(merchant, payment, line), &released)| {
        row![merchant.bits(), payment.bits(), line, released]
    });
    writes.all(sql, Rows::of(rows));
    Ok(())
}

/// Captures that came, and what became of those that lie in lines of their own.
pub(super) fn save_captures<'c>(
    writes: &mut Writes<'c>,
    books: &'c [BookChange],
    before: &Before,
) -> Result<(), Trouble> {
    let mut first = Rows::default();
    let mut new = Rows::default();
    let mut changed = Rows::default();
    for BookChange { merchant, book, balances, new_captures, is_new, .. } in books {
        let beside = match is_new {
            // Its head was written with it.
            true => new_captures.first().map(|new| new.id),
            false => before.place((*merchant, book.payment.id()))?.capture,
        };
        let mut coming = new_captures.iter().filter(|new| Some(new.id) != beside);
        if beside.is_none()
            && let Some(capture) = coming.next()
        {
            first.push(capture_row(*merchant, book, capture)?);
        }
        for capture in coming {
            new.push(capture_row(*merchant, book, capture)?);
        }
        let is_new = |id| new_captures.iter().any(|new| new.id == id);
        for &id in balances.iter().filter(|id| Some(**id) != beside && !is_new(**id)) {
            let sums = sums(book, id)?;
            changed.push(row![
                merchant.bits(),
                book.payment.id().bits(),
                id.bits(),
                sums.voided.units(),
                sums.refunded.units(),
                sums.reserved.units(),
                sums.disputed.units(),
                sums.excess.units(),
            ]);
        }
    }
    let sql = "-- first_captures
        update book b set capture_id = n.capture_id, capture_leg = n.leg, capture_seq = n.seq,
            captured_minor = n.captured, voided_minor = n.voided, refunded_minor = n.refunded,
            reserved_minor = n.reserved, disputed_minor = n.disputed, excess_minor = n.excess,
            captured_at_ms = n.at_ms
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            as n (merchant_id, payment_id, capture_id, leg, seq, captured, voided, refunded,
                reserved, disputed, excess, at_ms)
        where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line = 0
            and b.capture_id is null";
    writes.all(sql, first);
    let sql = "-- insert_captures
        insert into book (merchant_id, payment_id, line, capture_id, capture_leg, capture_seq,
            captured_minor, voided_minor, refunded_minor, reserved_minor, disputed_minor,
            excess_minor, captured_at_ms)
        select n.merchant_id, n.payment_id, n.seq, n.capture_id, n.leg, n.seq, n.captured,
            n.voided, n.refunded, n.reserved, n.disputed, n.excess, n.at_ms
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            as n (merchant_id, payment_id, capture_id, leg, seq, captured, voided, refunded,
                reserved, disputed, excess, at_ms)";
    writes.all(sql, new);
    let sql = "-- update_captures
        update book b set voided_minor = n.voided, refunded_minor = n.refunded,
            reserved_minor = n.reserved, disputed_minor = n.disputed, excess_minor = n.excess
        from unnest($1, $2, $3, $4, $5, $6, $7, $8)
            as n (merchant_id, payment_id, capture_id, voided, refunded, reserved, disputed, excess)
        where b.merchant_id = n.merchant_id and b.payment_id = n.payment_id and b.line > 0
            and b.capture_id = n.capture_id";
    writes.all(sql, changed);
    Ok(())
}

fn capture_row<'a>(
    merchant: MerchantId,
    book: &Book,
    capture: &NewCapture,
) -> Result<[Cell<'a>; 12], Trouble> {
    let sums = sums(book, capture.id)?;
    Ok(row![
        merchant.bits(),
        book.payment.id().bits(),
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
    ])
}

//! Payments from their lines: head, legs and captures.

use std::collections::HashMap;

use requite_core::id::{MerchantId, PaymentId};
use tokio_postgres::Row;

use super::Of;
use crate::store::Book;
use crate::store::postgres::link::Trouble;
use crate::store::postgres::rows::{Read, corrupt};
use crate::store::sql::{
    self,
    book::{Lines, Places},
};

/// All lines of the payments, in order: what [`Lines`] reads, then whose line it is. Of rows that another
/// transaction held, what it left is read; lines that it added are not seen, and missed by their number.
pub(super) const LOCK_BOOKS: &str = "-- lock_books
        select b.line::bigint, b.lines::bigint, b.seq, b.hash, b.calls, b.updated_at_ms,
            b.newest_refund, b.currency, b.exponent::bigint, b.is_closed::bigint, b.connector,
            b.connector_payment, b.connector_settings, b.external_identifier, b.order_ref,
            b.fingerprint, b.leg_id, b.amount_minor, b.released_minor, b.capture_id,
            b.capture_leg::bigint, b.captured_minor, b.voided_minor, b.refunded_minor,
            b.reserved_minor, b.disputed_minor, b.excess_minor, b.merchant_id, b.payment_id
        from unnest($1, $2) as w (merchant_id, payment_id)
        join book b on b.merchant_id = w.merchant_id and b.payment_id = w.payment_id
        order by b.merchant_id, b.payment_id, b.line for update of b";

fn whose(row: &Row) -> Result<Of, Trouble> {
    Ok((MerchantId::new(row.id(27)?), PaymentId::new(row.id(28)?)))
}

pub(super) fn books(rows: &[Row]) -> Result<(HashMap<Of, Book>, Places), Trouble> {
    let (mut books, mut places) = (HashMap::new(), Places::new());
    for own in rows.chunk_by(|one, next| whose(one).ok() == whose(next).ok()) {
        let mut lines = Lines::default();
        for row in own {
            lines.add(&sql::Row::Postgres(row))?;
        }
        let first = own.first().ok_or_else(|| corrupt("a payment without lines"))?;
        let whose = whose(first)?;
        if let Some(place) = lines.place() {
            is_whole(own.len(), place.lines)?;
            places.insert(whose, place);
        }
        books.insert(whose, lines.book(whose.1)?);
    }
    Ok((books, places))
}

/// While this transaction waited for the payment another may have added lines: then it is read again.
fn is_whole(found: usize, lines: u32) -> Result<(), Trouble> {
    if usize::try_from(lines) == Ok(found) {
        return Ok(());
    }
    let text = format!("lock_books: {found} of {lines} lines of a payment were seen");
    Err(Trouble::Conflict { text, is_taken: false })
}

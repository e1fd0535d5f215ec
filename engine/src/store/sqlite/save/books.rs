//! Payments, and what changes of their books.

use requite_core::id::RefundId;

use crate::command::Registration;
use crate::store::sql::book::{Place, Places, leg_number, lines_of_new, sums};
use crate::store::sql::{Result, Sql, blob, corrupt, params, write_one};
use crate::store::{Book, BookChange};

pub(super) fn insert_payment(connection: Sql<'_>, new: &Registration) -> Result<()> {
    let sql = "-- insert_payment
        insert into payment (merchant_id, payment_id, currency, exponent, connector,
            connector_payment, connector_settings, external_identifier, order_ref, customer,
            description, profile, fingerprint, created_at_ms, cancelled_at_ms, fault_code,
            fault_text)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let (merchant, payment) = (blob(new.merchant.bits()), blob(new.payment.bits()));
    let row = params![
        merchant,
        payment,
        new.currency.code(),
        new.currency.exponent(),
        new.connector,
        new.connector_payment,
        new.connector_settings,
        new.external_identifier,
        new.order,
        new.customer,
        new.description,
        new.profile,
        new.fingerprint,
        new.created_at_ms,
        new.cancelled_at_ms,
        new.decline.as_ref().map(|fault| &fault.code),
        new.decline.as_ref().map(|fault| &fault.text),
    ];
    write_one(connection, sql, row)?;
    if let Some(name) = &new.external_identifier {
        let sql = "-- insert_name
            insert into renamed (merchant_id, external_identifier, payment_id)
            values (?1, ?2, ?3)";
        write_one(connection, sql, params![merchant, name, payment])?;
    }
    for alias in new.aliases.iter().chain(&new.connector_payment) {
        let sql = "-- insert_alias
            insert into alias (merchant_id, alias, payment_id) values (?1, ?2, ?3)
            on conflict do nothing";
        connection.execute(sql, params![merchant, alias, payment])?;
    }
    Ok(())
}

/// Payments are changed where they were, and new ones are added with their gift cards.
pub(super) fn save_books(connection: Sql<'_>, books: &[BookChange], places: &Places) -> Result<()> {
    let mut update = connection.statement(
        "-- update_book
        update book set seq = ?3, hash = ?4, calls = ?5, updated_at_ms = ?6, newest_refund = ?7,
            external_identifier = ?8, lines = ?9, voided_minor = ?10, refunded_minor = ?11,
            reserved_minor = ?12, disputed_minor = ?13, excess_minor = ?14
        where merchant_id = ?1 and payment_id = ?2 and line = 0 and seq <= ?3
            and capture_id is ?15",
    );
    for change in books {
        let BookChange { merchant, book, new_captures, .. } = change;
        let (merchant, payment) = (blob(merchant.bits()), blob(book.payment.id().bits()));
        if change.is_new {
            insert_book(connection, change)?;
        } else {
            let place = place(places, change)?;
            let beside = place.capture;
            let sums = beside.map(|id| sums(book, id)).transpose()?;
            update.write_one(params![
                merchant,
                payment,
                book.seq,
                book.hash,
                book.calls,
                book.updated_at_ms,
                newest_refund(book),
                book.external_identifier,
                place.lines_with(new_captures.len()),
                sums.map(|sums| sums.voided.units()),
                sums.map(|sums| sums.refunded.units()),
                sums.map(|sums| sums.reserved.units()),
                sums.map(|sums| sums.disputed.units()),
                sums.map(|sums| sums.excess.units()),
                beside.map(|capture| blob(capture.bits())),
            ])?;
        }
    }
    Ok(())
}

/// Zeros where there is none, so that the row does not grow with the first.
fn newest_refund(book: &Book) -> [u8; 16] {
    blob(book.newest_refund.map_or(0, RefundId::bits))
}

fn place<'p>(places: &'p Places, change: &BookChange) -> Result<&'p Place> {
    let found = places.get(&(change.merchant, change.book.payment.id()));
    found.ok_or_else(|| corrupt("no head of a payment that was read"))
}

/// A head with its payment method, and gift cards. Captures come after it.
fn insert_book(
    connection: Sql<'_>,
    BookChange { merchant, book, new_captures, .. }: &BookChange,
) -> Result<()> {
    let sql = "-- insert_book
        insert into book (merchant_id, payment_id, line, lines, seq, hash, calls, updated_at_ms,
            newest_refund, currency, exponent, is_closed, connector, connector_payment,
            connector_settings, external_identifier, order_ref, fingerprint, leg_id, amount_minor,
            released_minor)
        values (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
            ?19, ?20)";
    let payment = &book.payment;
    let (merchant, id) = (blob(merchant.bits()), blob(payment.id().bits()));
    let method = payment.primary();
    write_one(
        connection,
        sql,
        params![
            merchant,
            id,
            lines_of_new(book, new_captures.len()),
            book.seq,
            book.hash,
            book.calls,
            book.updated_at_ms,
            newest_refund(book),
            payment.currency().code(),
            payment.currency().exponent(),
            payment.is_cancelled(),
            book.connector,
            book.connector_payment,
            book.connector_settings,
            book.external_identifier,
            book.order,
            book.registration_fingerprint,
            blob(method.id().bits()),
            method.amount().units(),
            method.released().units(),
        ],
    )?;
    for (card, number) in payment.legs().iter().zip(0_i64..).skip(1) {
        let sql = "-- insert_gift_card
            insert into book (merchant_id, payment_id, line, leg_id, amount_minor, released_minor)
            values (?1, ?2, ?3, ?4, ?5, ?6)";
        let (leg, line) = (blob(card.id().bits()), number.saturating_neg());
        let (amount, released) = (card.amount().units(), card.released().units());
        write_one(connection, sql, params![merchant, id, line, leg, amount, released])?;
    }
    Ok(())
}

pub(super) fn save_releases(connection: Sql<'_>, books: &[BookChange]) -> Result<()> {
    let mut insert = connection.statement(
        "-- insert_release
        insert into release (merchant_id, payment_id, release_id, leg_no, seq, amount_minor,
            released_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    );
    let mut update = connection.statement(
        "-- release_leg
        update book set released_minor = ?4
        where merchant_id = ?1 and payment_id = ?2 and line = ?3",
    );
    for BookChange { merchant, book, new_releases, .. } in books {
        let (merchant, payment) = (blob(merchant.bits()), blob(book.payment.id().bits()));
        for release in new_releases {
            let leg_no = leg_number(book, release.leg)?;
            let (id, amount) = (blob(release.id), release.amount.units());
            let (seq, at_ms) = (release.seq, release.at_ms);
            insert.write_one(params![merchant, payment, id, leg_no, seq, amount, at_ms])?;
            let leg = book.payment.leg(release.leg);
            let leg = leg.ok_or_else(|| corrupt("a release of a leg that is not there"))?;
            let (line, released) = (leg_no.saturating_neg(), leg.released().units());
            update.write_one(params![merchant, payment, line, released])?;
        }
    }
    Ok(())
}

/// Captures that came, and what became of those that lie in lines of their own.
pub(super) fn save_captures(
    connection: Sql<'_>,
    books: &[BookChange],
    places: &Places,
) -> Result<()> {
    let mut first = connection.statement(
        "-- first_capture
        update book set capture_id = ?3, capture_leg = ?4, capture_seq = ?5, captured_minor = ?6,
            voided_minor = ?7, refunded_minor = ?8, reserved_minor = ?9, disputed_minor = ?10,
            excess_minor = ?11, captured_at_ms = ?12
        where merchant_id = ?1 and payment_id = ?2 and line = 0 and capture_id is null",
    );
    let mut insert = connection.statement(
        "-- insert_capture
        insert into book (merchant_id, payment_id, capture_id, capture_leg, line, capture_seq,
            captured_minor, voided_minor, refunded_minor, reserved_minor, disputed_minor,
            excess_minor, captured_at_ms)
        values (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    );
    let mut update = connection.statement(
        "-- update_capture
        update book set voided_minor = ?4, refunded_minor = ?5, reserved_minor = ?6,
            disputed_minor = ?7, excess_minor = ?8
        where merchant_id = ?1 and payment_id = ?2 and line > 0 and capture_id = ?3",
    );
    for change in books {
        let BookChange { merchant, book, balances, new_captures, is_new, .. } = change;
        let beside = if *is_new { None } else { place(places, change)?.capture };
        for (new, number) in new_captures.iter().zip(0_usize..) {
            let sums = sums(book, new.id)?;
            let come = if number == 0 && beside.is_none() { &mut first } else { &mut insert };
            come.write_one(params![
                blob(merchant.bits()),
                blob(book.payment.id().bits()),
                blob(new.id.bits()),
                leg_number(book, new.leg)?,
                new.seq,
                sums.captured.units(),
                sums.voided.units(),
                sums.refunded.units(),
                sums.reserved.units(),
                sums.disputed.units(),
                sums.excess.units(),
                new.at_ms,
            ])?;
        }
        let is_new = |id| new_captures.iter().any(|new| new.id == id);
        for &id in balances.iter().filter(|id| Some(**id) != beside && !is_new(**id)) {
            let sums = sums(book, id)?;
            update.write_one(params![
                blob(merchant.bits()),
                blob(book.payment.id().bits()),
                blob(id.bits()),
                sums.voided.units(),
                sums.refunded.units(),
                sums.reserved.units(),
                sums.disputed.units(),
                sums.excess.units(),
            ])?;
        }
    }
    Ok(())
}

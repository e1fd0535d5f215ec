//! `GET /payments/{id}/events` and `/journal`: what happened to a payment, and where each cent went.

use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use data_encoding::HEXLOWER;
use requite_core::id::{MerchantId, uuid_text};
use requite_core::journal::Account;
use requite_core::refund::Status;
use requite_engine::event::{Event, Kind};
use requite_engine::read::{AccountsView, EventView, HistoryPage, JournalView, PaymentView};
use serde_json::{Value, json};

use super::failure::Failure;
use super::page::{self, List, Row, Turn};
use super::payment;
use super::query::Parameters;
use super::view::{self, Shown};
use super::wire::actor;
use crate::access::Caller;
use crate::desk::Desk;
use crate::time::millis_text;

pub(super) async fn events(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (merchant, payment) = asked(&desk, &id, Caller::of(&request)).await?;
    let turn = turn(request.uri(), List::Events)?;
    let (id, wanted) = (payment.id, turned(&turn));
    let found = desk.read(move |reads| reads.events(merchant, id, &wanted)).await?;
    let row = |view: &EventView| Row::of(place(view.event.seq, 0), event(view));
    Ok(page::answer(&turn, found.iter().map(row).collect()))
}

pub(super) async fn journal(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (merchant, payment) = asked(&desk, &id, Caller::of(&request)).await?;
    let turn = turn(request.uri(), List::Journal)?;
    let (id, wanted) = (payment.id, turned(&turn));
    let found = desk.read(move |reads| reads.journal(merchant, id, &wanted)).await?;
    let rows = found.lines.iter().map(|view| Row::of(place(view.seq, view.line), line(view)));
    let accounts: Vec<Value> = found.accounts.iter().map(accounts).collect();
    let shown = Shown::new()
        .member("payment", uuid_text(payment.id.bits()))
        .member("currency", payment.currency.code())
        .member("accounts", accounts);
    Ok(page::answer_with(&turn, rows.collect(), shown))
}

fn turn(uri: &Uri, list: List) -> Result<Turn, Failure> {
    Parameters::read(uri, &["order", "cursor", "limit"])?.turn(list)
}

async fn asked(
    desk: &Desk,
    id: &str,
    caller: Caller<'_>,
) -> Result<(MerchantId, PaymentView), Failure> {
    let actor = actor(desk, caller).await?;
    let payment = payment::the(desk, actor.merchant, id).await?;
    let view = payment::shown(desk, actor.merchant, payment).await?;
    Ok((actor.merchant, view))
}

fn turned(turn: &Turn) -> HistoryPage {
    HistoryPage {
        after: turn.after().map(|(place, _)| number_and_line(place)),
        newest_first: turn.newest_first(),
        limit: turn.limit(),
    }
}

/// A line's place in a history, as one number.
fn place(number: u32, line: u32) -> u128 {
    u128::from(number) << 32 | u128::from(line)
}

fn number_and_line(place: u128) -> (u32, u32) {
    let low = |bits: u128| u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(u32::MAX);
    (low(place >> 32), low(place))
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Registered => "registered",
        Kind::Captured => "captured",
        Kind::Released => "voided",
        Kind::Refund => "refund",
        Kind::Extended => "extended",
        Kind::Declined => "declined",
        Kind::Amended => "amended",
        Kind::Resolved => "resolved",
        Kind::CancelAsked => "cancel_asked",
    }
}

fn event(view: &EventView) -> String {
    let EventView { event, hash_before } = view;
    let Event { seq, subject, amount, status, psp_refund, fault, actor, at_ms, hash, .. } = event;
    Shown::new()
        .member("number", seq)
        .member("kind", kind(event.kind))
        .member("subject", uuid_text(*subject))
        .member("amount", amount.units())
        .member("status", status.map(Status::word))
        .member("psp_refund_id", psp_refund)
        .member("error", view::fault(fault.as_ref()))
        .member("actor", actor)
        .member("at", millis_text(*at_ms))
        .member("hash_before", HEXLOWER.encode(hash_before))
        .member("hash", HEXLOWER.encode(hash))
        .text()
}

fn line(view: &JournalView) -> String {
    let JournalView { seq, line, entry, subject, status, actor, at_ms, .. } = view;
    Shown::new()
        .member("number", seq)
        .member("line", line)
        .member("debit", entry.debit.word())
        .member("credit", entry.credit.word())
        .member("amount", entry.amount.units())
        .member("capture", uuid_text(entry.capture.bits()))
        .member("kind", kind(view.kind))
        .member("subject", uuid_text(*subject))
        .member("status", status.map(Status::word))
        .member("actor", actor)
        .member("at", millis_text(*at_ms))
        .text()
}

/// Credit accounts show what they hold; what the PSP holds for the merchant, and what was paid
/// beyond the capture, are the merchant's and stand on the other side.
fn accounts(view: &AccountsView) -> Value {
    let held = |account| view.credit(account);
    json!({
        "capture": uuid_text(view.capture.bits()),
        "refundable": held(Account::Refundable),
        "reserved": held(Account::Reserved),
        "refunded": held(Account::Refunded),
        "disputed": held(Account::Disputed),
        "psp_clearing": held(Account::PspClearing).saturating_neg(),
        "excess": held(Account::Excess).saturating_neg(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_and_a_line_and_orders_as_they_do() {
        for (number, line) in [(0, 0), (1, 0), (7, 3), (u32::MAX, u32::MAX)] {
            assert_eq!(number_and_line(place(number, line)), (number, line));
        }
        assert!(place(2, 0) > place(1, u32::MAX));
    }
}

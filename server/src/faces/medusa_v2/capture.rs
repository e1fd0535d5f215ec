//! Capturing a payment.
//!
//! A payment that is captured as a whole is answered as it is, whatever is asked for.
//! The engine is asked all the same, for it knows what an `Idempotency-Key` stands for: as zero, which it
//! refuses without binding the key.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use requite_core::decide::{Amount, BookingRefusal};
use requite_core::id::uuid_text;
use requite_core::money::{Minor, TooLarge};
use requite_engine::command::{Booked, Booking, BookingRequest, CommandError, Trace};
use requite_engine::key::Key;
use requite_engine::read::PaymentView;

use super::failure::{Failure, json_response};
use super::fields::Selection;
use super::payment::PAYMENT_DEFAULTS;
use super::payments::{named, shown};
use super::wire::{Body, CaptureWish, key_text, selection};
use super::{Face, auth};
use crate::access::{Actor, Caller};
use crate::desk::{Unseen, key, replay_headers};
use crate::http::REFUND_BODY_MAX;
use crate::keyed::{Keyed, confirmed, replayed};

/// `POST /admin/payments/{id}/capture`
pub(super) async fn capture(
    State(face): State<Face>,
    Path(written): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let body = Body::take(&mut request, REFUND_BODY_MAX).await?;
    let json = body.json()?;
    let actor = auth::actor(&face, Caller::of(&request)).await?;
    let wish = CaptureWish::read(&body, json)?;
    let selection = selection(request.uri().query(), &PAYMENT_DEFAULTS)?;
    let key_text = key_text(request.headers())?;
    let view = named(&face, actor.merchant, &written).await?;
    let before = view.ok_or_else(|| Failure::CaptureUnknown(written.clone()))?;
    let payment = uuid_text(before.id.bits());
    let key = key_text.map(|text| {
        let scope = ["capture", payment.as_str()];
        key(auth::FACE, &scope, &text, &[&payment, &wish.canonical])
    });
    let keyed = Keyed::new(actor.merchant, key, face.desk.now_ms());
    let wanted = Wanted { face, actor, before, written, amount: wish.amount, key, keyed };
    wanted.answer(&selection).await
}

/// A capture that was asked for in good form.
struct Wanted {
    face: Face,
    actor: Actor,
    /// The payment as it was found.
    before: PaymentView,
    /// Its id as it stands in the path.
    written: String,
    amount: Amount,
    key: Option<Key>,
    keyed: Keyed,
}

/// What a capture comes to, as far as the face can tell.
enum Wish {
    /// Minor units.
    Take(i64),
    /// All is captured: the payment is shown.
    Nothing,
    Refused(Failure),
}

impl Wanted {
    async fn answer(&self, selection: &Selection) -> Result<Response, Failure> {
        if let Some(first) = self.keyed.earlier(&self.face.desk).await? {
            return self.shown_again(first.subject, selection).await;
        }
        let wish = self.wish();
        let booked = self.face.desk.book(self.request(&wish)).await;
        match (booked, wish) {
            (Ok(booked), _) => self.booked(&booked, selection).await,
            (Err(CommandError::BookingRefused { refusal, .. }), Wish::Nothing)
                if is_about_nothing(refusal) =>
            {
                self.unchanged(selection).await
            }
            (
                Err(CommandError::BookingRefused { refusal: BookingRefusal::NotPositive, .. }),
                Wish::Refused(failure),
            ) => Err(failure),
            (Err(error), _) => Ok(self.refused(error)),
        }
    }

    fn wish(&self) -> Wish {
        let leg = self.before.primary();
        if leg.captured() >= leg.amount.units() {
            return Wish::Nothing;
        }
        units(&self.amount, &self.before).map_or_else(Wish::Refused, Wish::Take)
    }

    fn request(&self, wish: &Wish) -> BookingRequest {
        let units = match wish {
            Wish::Take(units) => *units,
            Wish::Nothing | Wish::Refused(_) => 0,
        };
        BookingRequest {
            merchant: self.before.merchant,
            payment: self.before.id,
            booking: Booking::Capture { is_final: false },
            id: self.face.desk.ids().next(),
            amount: Some(units),
            trace: Trace { face: auth::FACE.to_owned(), ..Trace::default() },
            keys: self.key.into_iter().collect(),
            actor: self.actor.name.clone(),
            at_ms: self.face.desk.now_ms(),
        }
    }

    async fn booked(&self, booked: &Booked, selection: &Selection) -> Result<Response, Failure> {
        let view = self.as_of(booked.as_of).await?;
        let declined = view.operation_at(booked.seq).and_then(|made| made.fault.clone());
        let mut response = match declined {
            Some(fault) => Failure::Provider(Some(fault)).into_response(),
            None => showing(&view, selection),
        };
        response.headers_mut().extend(replay_headers(booked.is_replay));
        Ok(response)
    }

    /// A key that was answered so is bound to the payment as it is now.
    async fn unchanged(&self, selection: &Selection) -> Result<Response, Failure> {
        let merchant = self.before.merchant;
        if let Some(answer) = self.keyed.answer(self.before.seq.into(), None) {
            let kept = self.face.desk.write(move |to| to.keep_answer(merchant, &answer)).await;
            let is_first = confirmed(kept).map_err(Failure::Write)?.is_some();
            if !is_first && let Some(first) = self.keyed.earlier(&self.face.desk).await? {
                return self.shown_again(first.subject, selection).await;
            }
        }
        Ok(showing(&self.before, selection))
    }

    /// `seq`: the event after which the payment was shown first.
    async fn shown_again(&self, seq: u128, selection: &Selection) -> Result<Response, Failure> {
        let view = self.as_of(u32::try_from(seq).ok()).await?;
        Ok(replayed(showing(&view, selection)))
    }

    /// The payment for the answer to what was done.
    async fn as_of(&self, seq: Option<u32>) -> Result<PaymentView, Failure> {
        let view = self.face.desk.payment_after(self.before.merchant, self.before.id, seq).await;
        view.map_err(|Unseen| Failure::Unshown)
    }

    fn refused(&self, error: CommandError) -> Response {
        let is_replay = matches!(&error, CommandError::BookingRefused { is_replay: true, .. });
        let payment = self.written.clone();
        let mut response = Failure::Capture { error, payment }.into_response();
        response.headers_mut().extend(replay_headers(is_replay));
        response
    }
}

/// What the engine says to a capture of zero, when the key is new.
fn is_about_nothing(refusal: BookingRefusal) -> bool {
    matches!(refusal, BookingRefusal::NotPositive | BookingRefusal::Cancelled)
}

fn showing(view: &PaymentView, selection: &Selection) -> Response {
    json_response(StatusCode::OK, shown(view, selection))
}

/// Minor units to capture. No amount is the whole payment, and not what is left of it. As with
/// refunds (decisions V2-3 and B7), what is almost all that is left is all that is left.
fn units(asked: &Amount, view: &PaymentView) -> Result<i64, Failure> {
    let leg = view.primary();
    let used = leg.captured().saturating_add(leg.released());
    let left = Minor::new(leg.amount.units().saturating_sub(used)).unwrap_or_default();
    let decimal = match asked {
        Amount::Major(decimal) => decimal,
        Amount::Minor(units) => return Ok(*units),
        Amount::Remaining => return Ok(left.units()),
        Amount::Whole => return Ok(leg.amount.units()),
    };
    match decimal.minor(view.currency) {
        Ok(Some(amount)) => Ok(amount.units()),
        Ok(None) if decimal.echoes(left, view.currency) => Ok(left.units()),
        Ok(None) if decimal.is_above(left, view.currency) => Err(Failure::TooMuchToCapture),
        Ok(None) => Err(Failure::TooManyDecimals(view.currency)),
        Err(TooLarge) => Err(Failure::TooMuchToCapture),
    }
}

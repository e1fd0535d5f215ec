//! The refund calls: parse, command, render.
//!
//! Checks come in this order: token 401, scope 403, account 404, path 400, key and body 400,
//! existence 404, and last what the rules of money refuse, 400.
//!
//! A refund is answered when its first outcome is known (`succeeded`, `declined`, `failed`), or as
//! `processing` when that takes too long or stays unknown. Each of these is a 201 (G2).

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::decide::{self, Amount, Ask, Refusal};
use requite_core::id::{LegId, PaymentId, RefundId, uuid_text};
use requite_core::payment::LegKind;
use requite_engine::command::{Details, Reason, RefundReply, RefundRequest, Wait};
use requite_engine::read::PaymentView;
use tokio::task::JoinSet;

use super::auth;
use super::failure::{Detail, Failure, Location};
use super::page::Page;
use super::show::Refund;
use super::wire::{self, Note, Target, Wish};
use super::{json, spelling};
use crate::access::{Actor, Caller};
use crate::desk::{self, Desk, Unseen, refund_headers, refunds_headers};

/// Everything about a request to refund that stays the same over the legs it touches.
#[derive(Clone)]
struct Asker {
    desk: Desk,
    actor: Actor,
    payment: PaymentId,
    key_text: Option<String>,
    note: Note,
}

impl Asker {
    /// Asks the engine for one refund. `operation` keeps the keys of the two calls apart, `meaning`
    /// is what a repeat of the same key must mean again.
    async fn ask(
        &self,
        target: decide::Target,
        amount: Amount,
        operation: &[&str],
        meaning: &[String],
    ) -> Result<RefundReply, Failure> {
        let transaction = uuid_text(self.payment.bits());
        let mut scope = operation.to_vec();
        scope.push(&transaction);
        let mut means = vec![transaction.as_str()];
        means.extend(meaning.iter().map(String::as_str));
        let key = |text: &String| desk::key("gr4vy", &scope, text, &means);
        let request = RefundRequest {
            merchant: self.actor.merchant,
            payment: self.payment,
            ask: Ask {
                refund: RefundId::new(self.desk.ids().next()),
                target,
                amount,
                currency: None,
                at_ms: self.desk.now_ms(),
            },
            details: self.details(),
            keys: self.key_text.iter().map(key).collect(),
            wait: Wait::Outcome,
            answers_unknown: true,
        };
        Ok(self.desk.refund(request).await?)
    }

    fn details(&self) -> Details {
        Details {
            face: "gr4vy".to_owned(),
            actor: self.actor.name.clone(),
            reason_code: None,
            reason_text: self.note.reason.clone(),
            reason: Reason::None,
            note: None,
            external_identifier: self.note.external_identifier.clone(),
            given_id: None,
            key_text: self.key_text.clone(),
            metadata: self.note.metadata.clone(),
            wants_reference: false,
        }
    }

    async fn view(&self) -> Result<PaymentView, Failure> {
        let view = self.desk.payment(self.actor.merchant, self.payment, None).await?;
        view.ok_or(Failure::NotFound)
    }

    /// The leg that gets the money. An id beside `payment-method` is read as the original's own id
    /// of the card, which is not known here, and passed over; unless it is that of one of this
    /// transaction's gift card redemptions: then the card is not what was meant.
    async fn target(&self, target: Target) -> Result<decide::Target, Failure> {
        let is_gift_card = |view: &PaymentView, id: u128| {
            let leg = view.leg(LegId::new(id));
            leg.is_some_and(|leg| leg.kind == LegKind::GiftCard)
        };
        match target {
            Target::PaymentMethod { named: None } => Ok(decide::Target::Primary),
            Target::PaymentMethod { named: Some(id) } => {
                if !is_gift_card(&self.view().await?, id) {
                    return Ok(decide::Target::Primary);
                }
                let text = "this is a gift card redemption; refund it with the target_type \
                            gift-card-redemption";
                let detail = Detail::new(Location::Body, "/target_id", text, "value_error");
                Err(Failure::invalid(detail))
            }
            Target::GiftCard { redemption } => {
                if is_gift_card(&self.view().await?, redemption) {
                    return Ok(decide::Target::Leg(LegId::new(redemption)));
                }
                Err(Failure::Refused { refusal: Refusal::LegUnknown, is_replay: false })
            }
        }
    }

    /// `POST .../refunds`.
    async fn refund(&self, wish: &Wish) -> Result<RefundReply, Failure> {
        let target = self.target(wish.target).await?;
        let amount = wish.amount.map_or(Amount::Remaining, Amount::Minor);
        self.ask(target, amount, &["refunds"], &wish.meaning()).await
    }

    /// One leg of `POST .../refunds/all`. Every leg has a key of its own, so that a repeat finds
    /// each leg's refund or refusal again, and one that was cut off halfway goes on.
    async fn refund_leg(&self, leg: LegId) -> Result<RefundReply, Failure> {
        let name = uuid_text(leg.bits());
        let operation = ["refunds/all", name.as_str()];
        let target = decide::Target::Leg(leg);
        self.ask(target, Amount::Remaining, &operation, &self.note.meaning()).await
    }

    /// All legs: the payment method first and alone, so that a key that cannot be used is found
    /// before anything is done; then the gift cards at once.
    async fn refund_all(&self) -> Result<Vec<RefundReply>, Failure> {
        let view = self.view().await?;
        let mut answers = vec![self.refund_leg(view.primary().id).await];
        if let [Err(failure)] = answers.as_slice()
            && !matches!(failure, Failure::Refused { .. })
        {
            return Err(failure.clone());
        }
        let mut asked = JoinSet::new();
        for (place, leg) in view.legs.iter().skip(1).map(|leg| leg.id).enumerate() {
            let asker = self.clone();
            asked.spawn(async move { (place, asker.refund_leg(leg).await) });
        }
        let mut gift_cards = asked.join_all().await;
        gift_cards.sort_by_key(|(place, _)| *place);
        answers.extend(gift_cards.into_iter().map(|(_, answer)| answer));
        created(answers, self.key_text.is_some())
    }
}

/// What of a refund-all is answered: the refunds it made. When some could not even be asked for,
/// their failure is the answer only with an idempotency key, which makes repeating safe (A5).
fn created(
    answers: Vec<Result<RefundReply, Failure>>,
    is_repeatable: bool,
) -> Result<Vec<RefundReply>, Failure> {
    let mut made = Vec::new();
    let mut refused = None;
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(reply) => made.push(reply),
            Err(Failure::Refused { refusal, is_replay }) => {
                // That nothing is left says more than that a leg never had anything.
                if refused.is_none() || refusal == Refusal::NothingLeft {
                    refused = Some(Failure::Refused { refusal, is_replay });
                }
            }
            Err(failure) => failed = Some(failure),
        }
    }
    match (failed, refused) {
        (Some(failure), _) if made.is_empty() || is_repeatable => Err(failure),
        (None, Some(refusal)) if made.is_empty() => Err(refusal),
        _ => Ok(made),
    }
}

/// A refund as of its answer, so that a replay equals the first answer byte for byte.
async fn shown(desk: &Desk, reply: &RefundReply) -> Result<Refund, Failure> {
    let shown = desk.refund_after(reply).await;
    let shown = shown.map_err(|Unseen| Failure::Unshown(reply.clone()))?;
    Ok(Refund::new(shown.external_identifier.as_deref(), &shown.refund))
}

/// Reads what both calls read, in the order of the checks.
async fn asker(desk: Desk, text: &str, caller: Caller<'_>) -> Result<Asker, Failure> {
    let actor = auth::actor(&desk, caller).await?;
    let payment = spelling::transaction(&desk, actor.merchant, text).await?;
    let key_text = wire::key_text(caller.headers)?;
    Ok(Asker { desk, actor, payment, key_text, note: Note::default() })
}

/// Where no transaction has this id: another that was registered with it as one of its names.
async fn renamed(asker: &Asker, text: &str) -> Result<Asker, Failure> {
    let named = spelling::other_name(&asker.desk, asker.actor.merchant, text).await?;
    let payment = named.ok_or(Failure::NotFound)?;
    Ok(Asker { payment, ..asker.clone() })
}

/// `POST /transactions/{transaction_id}/refunds`
pub(super) async fn create(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let mut asker = asker(desk, &text, Caller::of(&request)).await?;
    let wish = wire::wish(&wire::body(&mut request).await?)?;
    asker.note = wish.note.clone();
    let reply = match asker.refund(&wish).await {
        Err(Failure::NotFound) => renamed(&asker, &text).await?.refund(&wish).await?,
        answer => answer?,
    };
    let refund = shown(&asker.desk, &reply).await?;
    Ok(json(StatusCode::CREATED, refund_headers(&reply), &refund))
}

/// `POST /transactions/{transaction_id}/refunds/all`
pub(super) async fn create_all(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let mut asker = asker(desk, &text, Caller::of(&request)).await?;
    asker.note = wire::note(&wire::body(&mut request).await?)?;
    let made = match asker.refund_all().await {
        Err(Failure::NotFound) => renamed(&asker, &text).await?.refund_all().await?,
        answer => answer?,
    };
    let mut items = Vec::with_capacity(made.len());
    for reply in &made {
        items.push(shown(&asker.desk, reply).await?);
    }
    // Only what is a repeat as a whole is one.
    let headers = refunds_headers(&made, made.iter().all(|reply| reply.is_replay));
    Ok(json(StatusCode::CREATED, headers, &Page::<Refund>::whole(items)))
}

/// `GET /transactions/{transaction_id}/refunds`: all of them, newest first.
pub(super) async fn list(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    let name = view.external_identifier.as_deref();
    let newest_first = view.refunds.iter().rev();
    let items = newest_first.map(|refund| Refund::new(name, refund)).collect();
    Ok(json(StatusCode::OK, HeaderMap::new(), &Page::<Refund>::whole(items)))
}

/// `GET /transactions/{transaction_id}/refunds/{refund_id}`
pub(super) async fn read_below(
    State(desk): State<Desk>,
    Path((text, refund)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let id = spelling::refund(&refund)?;
    let view = spelling::view(&desk, actor.merchant, &text).await?;
    answered(&view, id)
}

/// `GET /refunds/{refund_id}`
pub(super) async fn read(
    State(desk): State<Desk>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth::actor(&desk, Caller::of(&request)).await?;
    let id = spelling::refund(&text)?;
    let merchant = actor.merchant;
    let view = desk
        .read(move |reads| match reads.refund(merchant, id)? {
            Some(refund) => reads.payment(merchant, refund.payment, None),
            None => Ok(None),
        })
        .await?;
    answered(&view.ok_or(Failure::NotFound)?, id)
}

fn answered(view: &PaymentView, id: RefundId) -> Result<Response, Failure> {
    let refund = view.refund(id).ok_or(Failure::NotFound)?;
    Ok(json(
        StatusCode::OK,
        HeaderMap::new(),
        &Refund::new(view.external_identifier.as_deref(), refund),
    ))
}

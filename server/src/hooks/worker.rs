//! Works on the inbox: finds a message's payment, tells the lane, and writes down what became of it.
//!
//! A message is claimed for a while; if the process dies its time comes again. To tell the lane twice
//! changes nothing.

use std::sync::Arc;
use std::time::Duration;

use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_engine::command::{self, Mark, Noticed, Obstacle, Oddity};
use requite_engine::fault::{self, Point};
use requite_engine::inbox::{MessageEnd, MessageState, MessageView};
use tokio::task::JoinSet;

use super::doors::{Door, Doors};
use super::{Arrivals, kept};
use crate::connectors::notice::Notice;
use crate::desk::Desk;

/// Messages that are worked on at once.
const AT_ONCE_MAX: u32 = 64;
/// How long a message is this worker's. Longer than any call to a PSP.
const CLAIM_MS: i64 = 60_000;
/// How often the inbox is looked at when nobody says that something came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often old messages are forgotten.
const FORGET_EVERY_MS: i64 = 60_000;
/// How long a message is kept once it is done with: longer than any PSP sends it again.
const KEPT_MS: i64 = 40 * 86_400_000;
/// Distances between tries, then every last one.
const TRIES_MS: [i64; 8] = [1_000, 2_000, 5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000];
/// Tries before a message is put aside: about three days.
const TRIES_MAX: u32 = 20;
/// Tries while nobody registers the payment: about three minutes.
const UNKNOWN_PAYMENT_TRIES_MAX: u32 = 5;

/// What becomes of a message now.
enum Step {
    End(MessageEnd),
    Later(String),
}

/// Never ends; the runtime drops it with the server.
pub(crate) async fn work(desk: Desk, doors: Arc<Doors>, arrivals: Arrivals) {
    let mut forgotten_ms = i64::MIN;
    loop {
        let now_ms = desk.now_ms();
        if now_ms.saturating_sub(forgotten_ms) >= FORGET_EVERY_MS {
            forgotten_ms = now_ms;
            forget(&desk, now_ms).await;
        }
        if !turn(&desk, &doors).await {
            let _nobody_came = tokio::time::timeout(LOOK_EVERY, arrivals.notified()).await;
        }
    }
}

/// Works on what is due. False: nothing was.
pub(super) async fn turn(desk: &Desk, doors: &Arc<Doors>) -> bool {
    let now_ms = desk.now_ms();
    let until_ms = now_ms.saturating_add(CLAIM_MS);
    let claimed = desk.inbox(move |inbox| inbox.claim(now_ms, until_ms, AT_ONCE_MAX)).await;
    let due = match claimed {
        Some(Ok(due)) => due,
        Some(Err(fault)) => {
            tracing::warn!(%fault, "the inbox could not be read");
            Vec::new()
        }
        None => Vec::new(),
    };
    let is_any = !due.is_empty();
    if is_any {
        fault::pass(Point::InboxClaimed);
    }
    let mut working = JoinSet::new();
    for message in due {
        let (desk, doors) = (desk.clone(), Arc::clone(doors));
        working.spawn(async move {
            let step = step(&desk, &doors, &message).await;
            write_down(&desk, message, step).await;
        });
    }
    while working.join_next().await.is_some() {}
    is_any
}

async fn step(desk: &Desk, doors: &Doors, message: &MessageView) -> Step {
    let Some(notice) = message.notice.as_deref().and_then(kept::notice) else {
        return quarantined("what it tells cannot be read any more");
    };
    let Some(door) = doors.find(message.at.account).await else {
        return Step::Later("its account is not there".to_owned());
    };
    match tell(desk, &door, notice).await {
        Told::Noticed(noticed) => after(noticed),
        Told::NoPayment(why) if message.tries >= UNKNOWN_PAYMENT_TRIES_MAX => quarantined(&why),
        Told::NoPayment(why) | Told::Not(why) => Step::Later(why),
    }
}

/// What the lane said to a notice, or why it could not be told.
pub(super) enum Told {
    Noticed(Noticed),
    NoPayment(String),
    Not(String),
}

pub(super) async fn tell(desk: &Desk, door: &Door, notice: Notice) -> Told {
    let payment = match payment(desk, door, &notice).await {
        Ok(payment) => payment,
        Err(told) => return told,
    };
    let notice = command::Notice {
        merchant: door.at.merchant,
        payment,
        connector: door.name.clone(),
        mark: notice.mark,
        amount: notice.amount,
        currency: notice.currency,
        outcome: notice.outcome,
        said_at_ms: notice.said_at_ms,
        trust: door.kind.trust(),
        fresh: RefundId::new(desk.ids().next()),
        at_ms: desk.now_ms(),
    };
    match desk.notice(notice).await {
        Ok(noticed) => Told::Noticed(noticed),
        Err(fault) => Told::Not(fault.to_string()),
    }
}

/// The payment that a notice is about: that of the refund whose key it has, or the one that is
/// registered with the PSP's id.
async fn payment(desk: &Desk, door: &Door, notice: &Notice) -> Result<PaymentId, Told> {
    let merchant = door.at.merchant;
    if let Mark::Ours(refund) = notice.mark
        && let Some(payment) = marked(desk, merchant, refund, &door.name).await?
    {
        return Ok(payment);
    }
    let (name, texts) = (door.name.clone(), notice.payments.clone());
    let found = desk.inbox(move |inbox| inbox.payments_at(merchant, &name, &texts)).await;
    let found = match found {
        Some(Ok(found)) => found,
        Some(Err(fault)) => return Err(Told::Not(fault.to_string())),
        None => return Err(Told::Not("the inbox could not be read".to_owned())),
    };
    let texts = notice.payments.join(" or ");
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(Told::NoPayment(format!("no payment is registered with {texts}"))),
        several => {
            let count = several.len();
            Err(Told::NoPayment(format!("{count} payments or more are registered with {texts}")))
        }
    }
}

async fn marked(
    desk: &Desk,
    merchant: MerchantId,
    refund: RefundId,
    connector: &str,
) -> Result<Option<PaymentId>, Told> {
    let found = desk.read(move |reads| reads.refund(merchant, refund)).await;
    let found = found.map_err(|fault| Told::Not(fault.to_string()))?;
    Ok(found.filter(|refund| refund.connector == connector).map(|refund| refund.payment))
}

fn after(noticed: Noticed) -> Step {
    let end = |state, result: &str, refund| {
        Step::End(MessageEnd { state, result: result.to_owned(), refund })
    };
    match noticed {
        Noticed::Settled(at) => {
            end(MessageState::Processed, "the refund has changed", Some(at.refund))
        }
        Noticed::Known(at) => end(MessageState::Processed, "nothing new", Some(at.refund)),
        Noticed::External(at) => {
            end(MessageState::Processed, "made elsewhere, now on the books", Some(at.refund))
        }
        Noticed::MovedNothing => {
            end(MessageState::Ignored, "made elsewhere, and it moved nothing", None)
        }
        Noticed::Later(Obstacle::CallUnderWay) => {
            Step::Later("a call about the refund is under way".to_owned())
        }
        Noticed::Later(Obstacle::NoAnswer) => Step::Later("the PSP did not answer".to_owned()),
        Noticed::Later(Obstacle::DoesNotFit) => {
            Step::Later("it is not paid yet, and less is left".to_owned())
        }
        Noticed::Later(Obstacle::Unnamed) => Step::Later(
            "it may be of an open refund of this amount, which has no name yet".to_owned(),
        ),
        Noticed::Odd(oddity) => quarantined(match oddity {
            Oddity::OtherAccount => "the payment is at another account",
            Oddity::OtherCurrency => "its currency is not the payment's",
            Oddity::OtherAmount => "its amount is not the refund's",
            Oddity::NotCaptured => "nothing of the payment was captured here",
            Oddity::Untold => "it says nothing of the refund",
        }),
    }
}

fn quarantined(why: &str) -> Step {
    let state = MessageState::Quarantined;
    Step::End(MessageEnd { state, result: why.to_owned(), refund: None })
}

async fn write_down(desk: &Desk, message: MessageView, step: Step) {
    let now_ms = desk.now_ms();
    let step = match step {
        Step::Later(why) if message.tries >= TRIES_MAX => {
            quarantined(&format!("after {TRIES_MAX} tries: {why}"))
        }
        step => step,
    };
    if let Step::End(end) = &step
        && end.state == MessageState::Quarantined
    {
        tracing::warn!(message = %message.id, why = %end.result, "a webhook was put aside");
    }
    let written = desk.inbox(move |inbox| match step {
        Step::End(end) => inbox.end(&message, &end, now_ms),
        Step::Later(why) => {
            let next_ms = now_ms.saturating_add(distance(message.tries));
            inbox.postpone(&message, &why, next_ms)
        }
    });
    if let Some(Err(fault)) = written.await {
        tracing::warn!(%fault, "what became of a webhook could not be written; it comes again");
    }
}

fn distance(tries: u32) -> i64 {
    let at = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let last = TRIES_MS.last().copied().unwrap_or(CLAIM_MS);
    TRIES_MS.get(at).copied().unwrap_or(last)
}

async fn forget(desk: &Desk, now_ms: i64) {
    let before_ms = now_ms.saturating_sub(KEPT_MS);
    if let Some(Err(fault)) = desk.inbox(move |inbox| inbox.forget(before_ms)).await {
        tracing::warn!(%fault, "old webhooks could not be forgotten");
    }
}

//! Webhooks from PSPs: `POST /hooks/{account}`, one address for each account of each merchant.
//!
//! - The signature is the credential. What is not signed by the account's secret is answered 400 and
//!   leaves nothing behind but a count; an account that is not there answers the same.
//! - What is signed is committed to the inbox, once, before the PSP is thanked. Deliveries that come
//!   together are committed together.
//! - It is worked on from the inbox alone ([`worker`]), so a crash at any time loses nothing.
//! - Where a PSP can be asked, its own list of refunds is read now and then ([`sweep`]): webhooks make
//!   things faster and are never needed.
//!
//! Start at [`Hooks::take`]. What a PSP's body means is known in [`crate::connectors::notice`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use requite_core::id::parse_uuid;
use requite_engine::inbox::{AccountRef, MessageEnd, MessageState, NewMessage};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::access::Access;
use crate::connectors::account::Kind;
use crate::connectors::notice::{Delivery, MESSAGES_MAX, Message, Said};
use crate::crypto::secret::Secret;
use crate::desk::Desk;
use crate::http::{Codings, guard, read_body};
use crate::jobs;
use crate::route::Routes;

mod doors;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod kept;
pub(crate) mod sweep;
pub(crate) mod worker;

pub(crate) use doors::Doors;

/// The largest webhook, in bytes.
pub(crate) const HOOK_BODY_MAX: usize = 256 * 1024;
/// Deliveries that wait for their commit. More are answered 503, and sent again by the PSP.
const INTAKE_MAX: usize = 1_024;
/// Deliveries that are committed together.
const TOGETHER_MAX: usize = 128;
/// Signs nothing: without a secret the check is made with this one, so that it takes its time.
const DECOY: &str = "whsec_decoy";

/// A delivery on its way to the disk. Answered once: was it taken in?
struct Intake {
    messages: Vec<NewMessage>,
    stored: oneshot::Sender<bool>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hooks {
    desk: Desk,
    doors: Arc<Doors>,
    intake: mpsc::Sender<Intake>,
    forged: Arc<AtomicU64>,
}

/// Wakes the worker when something was taken in.
pub(crate) type Arrivals = Arc<Notify>;

impl Hooks {
    /// Opens the way in, and starts the task that commits what comes. Needs a runtime.
    pub(crate) fn open(desk: Desk, doors: Arc<Doors>, arrivals: Arrivals) -> Hooks {
        let (intake, deliveries) = mpsc::channel(INTAKE_MAX);
        let deliveries = Arc::new(tokio::sync::Mutex::new(deliveries));
        let take_in = {
            let desk = desk.clone();
            move || commit(desk.clone(), Arc::clone(&deliveries), Arc::clone(&arrivals))
        };
        jobs::start("intake", take_in);
        Hooks { desk, doors, intake, forged: Arc::default() }
    }

    pub(crate) fn router(self) -> Router {
        let nowhere = async || failure::forged();
        let routes = routes().router(nowhere, nowhere).with_state(self);
        guard(routes, failure::render)
    }

    /// The log is told of forged deliveries ever more rarely: whoever sends them does not fill it.
    fn count_forged(&self) {
        let count = self.forged.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if count.is_power_of_two() {
            tracing::warn!(count, "webhooks came that no account's secret signed");
        }
    }

    /// What a delivery says, and how its PSP is thanked. `None`: it is forged.
    async fn hear(
        &self,
        account: &str,
        headers: &axum::http::HeaderMap,
        body: &[u8],
    ) -> Option<(Vec<NewMessage>, &'static str)> {
        let door = match parse_uuid(account) {
            Some(id) => self.doors.find(id).await,
            None => None,
        };
        let decoy = [Secret::new(DECOY.to_owned())];
        let opened = door.as_ref().filter(|door| !door.secrets.is_empty());
        let secrets = opened.map_or(&decoy[..], |door| &door.secrets);
        let kind = opened.map_or(Kind::Stripe, |door| door.kind);
        let now_ms = self.desk.now_ms();
        let now_s = now_ms.div_euclid(1_000);
        let merchant_account = opened.and_then(|door| door.merchant_account.as_deref());
        let heard = kind.hear(&Delivery { headers, body, secrets, merchant_account, now_s });
        let (door, messages) = (opened?, heard.ok()?);
        if messages.len() > MESSAGES_MAX {
            return None;
        }
        let new = messages.into_iter().map(|message| new_message(door.at, message, now_ms));
        Some((new.collect(), kind.thanks()))
    }

    async fn store(&self, messages: Vec<NewMessage>) -> bool {
        if messages.is_empty() {
            return true;
        }
        let (stored, answer) = oneshot::channel();
        let is_queued = self.intake.try_send(Intake { messages, stored }).is_ok();
        is_queued && answer.await.unwrap_or(false)
    }
}

pub(crate) fn routes() -> Routes<Hooks> {
    Routes::of("hooks").post("/{account}", Access::Public, "take_webhook", take)
}

async fn take(
    State(hooks): State<Hooks>,
    Path(account): Path<String>,
    mut request: Request,
) -> Response {
    let body = match read_body(&mut request, HOOK_BODY_MAX, Codings::Plain).await {
        Ok(body) => body,
        Err(fault) => return failure::body(&fault),
    };
    let Some((messages, thanks)) = hooks.hear(&account, request.headers(), &body).await else {
        hooks.count_forged();
        return failure::forged();
    };
    if hooks.store(messages).await { failure::thanks(thanks) } else { failure::busy() }
}

fn new_message(at: AccountRef, message: Message, at_ms: i64) -> NewMessage {
    let end = |state, result: String| Err(MessageEnd { state, result, refund: None });
    let told = match message.said {
        Said::Refund(notice) => Ok(kept::text(&notice)),
        Said::Nothing => {
            let result = "it tells nothing of a refund".to_owned();
            end(MessageState::Ignored, result)
        }
        Said::Unreadable(why) => end(MessageState::Quarantined, why),
    };
    NewMessage { at, id: message.id, word: message.word, told, at_ms }
}

/// Commits deliveries as they come, all that wait together, until nobody can send any more.
async fn commit(
    desk: Desk,
    deliveries: Arc<tokio::sync::Mutex<mpsc::Receiver<Intake>>>,
    arrivals: Arrivals,
) {
    let mut deliveries = deliveries.lock().await;
    let mut waiting = Vec::new();
    while deliveries.recv_many(&mut waiting, TOGETHER_MAX).await > 0 {
        let together: Vec<Intake> = std::mem::take(&mut waiting);
        let messages: Vec<NewMessage> =
            together.iter().flat_map(|intake| intake.messages.iter().cloned()).collect();
        let is_whole = take_in(&desk, messages).await;
        for intake in together {
            // One account that is full must not keep the others out.
            let is_stored = is_whole || take_in(&desk, intake.messages).await;
            let _left = intake.stored.send(is_stored).is_err();
        }
        arrivals.notify_one();
    }
}

async fn take_in(desk: &Desk, messages: Vec<NewMessage>) -> bool {
    match desk.inbox(move |inbox| inbox.take_in(&messages)).await {
        Some(Ok(is_stored)) => is_stored,
        Some(Err(fault)) => {
            tracing::error!(%fault, "webhooks could not be stored");
            false
        }
        None => false,
    }
}

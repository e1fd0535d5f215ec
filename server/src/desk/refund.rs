//! Asking for a refund: how long somebody waits for its outcome, and that no refund is refused for money
//! that an unknown one holds before the PSP was asked after that one.

use std::time::Duration;

use requite_core::id::uuid_text;
use requite_engine::command::{
    Command, CommandError, RefundRef, RefundReply, RefundRequest, Reply, Wait,
};
use requite_engine::key::{Key, Lifetime, marked};
use tokio::time::Instant;

use super::{Desk, key};

/// How long a refund waits for look-ups of others of its payment. What is not known by then holds its
/// money.
const CLARITY_WAIT_MAX: Duration = Duration::from_secs(5);

impl Desk {
    /// Asks for a refund. With [`Wait::Outcome`] it returns when the first outcome is known, at the
    /// latest after [`super::Settings::wait`]. The refund goes on whether or not anyone still waits here.
    /// Its id is marked with the key that it is asked for under.
    pub(crate) async fn refund(
        &self,
        mut request: RefundRequest,
    ) -> Result<RefundReply, CommandError> {
        request.ask.refund = marked(request.ask.refund, &request.keys);
        self.refund_as_planned(request).await
    }

    /// The same for a refund whose id was written down before.
    pub(crate) async fn refund_as_planned(
        &self,
        mut request: RefundRequest,
    ) -> Result<RefundReply, CommandError> {
        if !self.is_reconciled(request.merchant, request.payment).await {
            return Err(CommandError::Unreconciled);
        }
        let is_keyed = request.keys.iter().any(|key| key.lifetime == Lifetime::Kept);
        if !is_keyed && self.settings().duplicate_guard_ms > 0 {
            request.keys.push(guard(&request, self.settings().duplicate_guard_ms));
        }
        let mut request = Box::new(request);
        let reply = self.answered(&request, Command::Propose(request.clone())).await?;
        let reply = match reply {
            Reply::Doubtful => {
                self.clarify(&request).await;
                // As of now: a call that was prepared while we waited would come too late to be made.
                request.ask.at_ms = self.now_ms();
                self.answered(&request, Command::Refund(request.clone())).await?
            }
            reply => reply,
        };
        match reply {
            Reply::Refund(reply) => Ok(reply),
            other => unreachable!("a refund is answered with a refund, not {other:?}"),
        }
    }

    /// Hands over a refund and waits as long as it wants to.
    async fn answered(
        &self,
        request: &RefundRequest,
        command: Command,
    ) -> Result<Reply, CommandError> {
        let (merchant, payment) = (request.merchant, request.payment);
        let refund = RefundRef { merchant, payment, refund: request.ask.refund };
        self.outcome(refund, command, request.wait).await
    }

    /// What a command about a refund is answered. Whoever wants its outcome waits [`super::Settings::wait`] at
    /// most; then they hear how it stands.
    pub(super) async fn outcome(
        &self,
        refund: RefundRef,
        command: Command,
        wait: Wait,
    ) -> Result<Reply, CommandError> {
        let mut reply = self.submit(command);
        let in_time = match wait {
            Wait::Outcome => tokio::time::timeout(self.settings().wait, &mut reply).await.ok(),
            Wait::Acceptance => Some((&mut reply).await),
        };
        let answer = match in_time {
            Some(answer) => answer,
            None => {
                drop(self.submit(Command::Expire { refund }));
                reply.await
            }
        };
        answer.unwrap_or(Err(CommandError::Stopping))
    }

    /// Until nothing unknown of the payment can be asked after any more, or the time for that is over.
    async fn clarify(&self, request: &RefundRequest) {
        let end = Instant::now() + CLARITY_WAIT_MAX;
        let (merchant, payment) = (request.merchant, request.payment);
        loop {
            let command = Command::Clarify { merchant, payment, at_ms: self.now_ms() };
            match tokio::time::timeout_at(end, self.ask(command)).await {
                // One is known; there may be others.
                Ok(Ok(Reply::Noticed(_))) => {}
                _ => return,
            }
        }
    }
}

/// The guard against double clicks (decision A10): without a key, the same wish within the window is
/// the first wish again, whichever face it comes through.
fn guard(request: &RefundRequest, window_ms: i64) -> Key {
    let payment = uuid_text(request.payment.bits());
    let wish = format!("{:?} {:?}", request.ask.target, request.ask.amount);
    let reason = request.details.reason_text.as_ref().or(request.details.reason_code.as_ref());
    let meaning = [payment.as_str(), &wish, reason.map_or("", String::as_str)];
    Key { lifetime: Lifetime::Within(window_ms), ..key("guard", &meaning, "", &meaning) }
}

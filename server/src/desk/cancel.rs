//! Asking a PSP to cancel a refund.

use requite_engine::command::{
    Cancellation, Command, CommandError, NotCancelled, RefundReply, Reply, Wait,
};

use super::Desk;

impl Desk {
    /// Returns when the PSP has said how the refund stands, at the latest after
    /// [`super::Settings::wait`]; what was asked for goes on whether or not anyone still waits here. `Err`
    /// inside: the PSP was not asked.
    pub(crate) async fn cancel(
        &self,
        request: Cancellation,
    ) -> Result<Result<RefundReply, NotCancelled>, CommandError> {
        let refund = request.refund;
        let command = Command::Cancel(Box::new(request));
        match self.outcome(refund, command, Wait::Outcome).await? {
            Reply::Refund(reply) => Ok(Ok(reply)),
            Reply::NotCancelled(why) => Ok(Err(why)),
            other => unreachable!("a cancellation is answered as one, not {other:?}"),
        }
    }
}

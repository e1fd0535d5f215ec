//! What of an open refund is a matter for people, what they can do about it, and why that cannot be done:
//! words for the native API and the command line. Which refunds and since when is [`RefundView::people_since_ms`].

use requite_core::cancel::NotCancellable;
use requite_core::refund::Status;
use requite_engine::command::{NotCancelled, Resolved};
use requite_engine::read::RefundView;

/// Why somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// For programs.
    pub why: &'static str,
    pub since_ms: i64,
    /// What to do.
    pub advice: &'static str,
}

/// `None`: it goes its way by itself, so far.
pub(crate) fn need(view: &RefundView, now_ms: i64) -> Option<Need> {
    let since_ms = view.people_since_ms().filter(|since_ms| *since_ms <= now_ms)?;
    let code = view.fault.as_ref().map_or("", |fault| fault.code.as_str());
    let (why, advice) = match view.status {
        Status::Unknown if code == "key_expired" => (
            "key_expired",
            "look in the PSP's dashboard whether the payment was refunded by this amount, and resolve \
             the refund: the PSP cannot be asked, and asking for it again could pay twice",
        ),
        Status::Unknown if view.psp_refund.is_some() => (
            "vanished",
            "the PSP had this refund and does not show it any more: look in its dashboard, ask its \
             support with the id, and resolve the refund",
        ),
        Status::Unknown => (
            "unknown",
            "no answer was clear so far, and looking goes on by itself: look in the PSP's dashboard \
             whether the payment was refunded by this amount, and resolve the refund",
        ),
        Status::Pending => (
            "pending_long",
            "the PSP has had it for ten days: check that its webhooks arrive here, then look in its \
             dashboard what became of it, and resolve the refund",
        ),
        Status::RequiresAction => (
            "action_required",
            "the PSP waits for the customer or for you: do what its dashboard asks for, and it goes on by \
             itself; or cancel the refund, where the PSP lets you",
        ),
        _ => (
            "not_sent",
            "it could not be sent, so no money moved: mend what its error names (the account's key, its \
             rights, its address); it is sent by itself then",
        ),
    };
    Some(Need { why, since_ms, advice })
}

/// Why a person's word was not taken: a code for programs, and a text. `None`: it was.
pub(crate) fn refused(resolved: &Resolved) -> Option<(&'static str, String)> {
    let (code, text) = match resolved {
        Resolved::Done(_) => return None,
        Resolved::NotForPeople(status) => {
            let word = status.word();
            let text = format!(
                "the refund is {word}; only one that is unknown, pending or requires_action is resolved \
                 by a person"
            );
            ("not_resolvable", text)
        }
        Resolved::CallUnderWay => {
            let text =
                "a call about it is under way; see what it finds, and repeat this in a minute";
            ("call_under_way", text.to_owned())
        }
        Resolved::OtherPspRefund => {
            let text = "the PSP's id of this refund is another one; leave psp_refund out, or look again \
                        which refund you saw";
            ("psp_refund_differs", text.to_owned())
        }
        Resolved::NoEvidence => {
            let text = "say what you saw and where: without evidence no refund is resolved";
            ("no_evidence", text.to_owned())
        }
    };
    Some((code, text))
}

/// Why a PSP was not asked to cancel a refund: a code for programs, and a text. `cancels` is what its
/// connector can do.
pub(crate) fn not_cancelled(why: NotCancelled, cancels: &[Status]) -> (&'static str, String) {
    let statuses: Vec<&str> = cancels.iter().map(|status| status.word()).collect();
    match why {
        NotCancelled::NotCancellable(NotCancellable::Status(status)) if cancels.is_empty() => {
            let word = status.word();
            let text = format!(
                "the refund is {word}, and its PSP cancels no refunds: wait for what becomes of it"
            );
            ("not_cancelable", text)
        }
        NotCancelled::NotCancellable(NotCancellable::Status(status)) => {
            let (word, statuses) = (status.word(), statuses.join(" or "));
            let text = format!("the refund is {word}; its PSP cancels only one that is {statuses}");
            ("not_cancelable", text)
        }
        NotCancelled::NotCancellable(NotCancellable::Nameless) => {
            let text =
                "the PSP has not said its id of the refund yet; repeat this once it is looked up";
            ("not_cancelable", text.to_owned())
        }
        NotCancelled::CallUnderWay => {
            let text =
                "a call about it is under way; see what it finds, and repeat this in a minute";
            ("call_under_way", text.to_owned())
        }
    }
}

/// The PSP was asked to cancel a refund, which is in this status still: nobody knows what comes of it.
pub(crate) fn may_be_cancelled_yet(status: Status, cancels: &[Status]) -> bool {
    status == Status::Unknown || cancels.contains(&status)
}

/// The PSP was asked to cancel a refund, and said that it is this instead.
pub(crate) fn too_late(status: Status) -> (&'static str, String) {
    let text = format!("it was not cancelled: the PSP says that the refund is {}", status.word());
    ("not_cancelable", text)
}

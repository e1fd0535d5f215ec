//! What of an open refund is a matter for people, and what they can do about it: words for the native API
//! and the command line. Which refunds and since when is [`RefundView::people_since_ms`].

use requite_core::refund::Status;
use requite_engine::command::Resolved;
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
            "the PSP waits for the customer or for you: do what its dashboard asks for; it goes on by \
             itself then",
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

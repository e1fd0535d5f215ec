//! Bugs that can be planted, each one a way in which refund servers really lose money. The
//! simulation must find every one of them, or its silence about the product means nothing.
//!
//! They live in the simulation's own wrappers (store, network, clients); no product code knows
//! about them.

use crate::weather::Climate;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The PSP is called for a batch that was never committed.
    CallBeforeCommit,
    /// Clients are answered, then the batch is not committed.
    AnswerBeforeCommit,
    /// A missing answer is taken for a failure, and the money freed.
    UnknownIsFailed,
    /// Every attempt has a PSP key of its own.
    FreshKeyPerAttempt,
    /// "The PSP has nothing" is claimed without asking it.
    AbsentWithoutAsking,
    /// The PSP's look-up shows a refund only some time after it was made.
    LaggingLookUp,
    /// The newest committed batch is gone after a crash.
    ForgetOnCrash,
    /// A refund that is settled is shown to the lane as it was before, and settled again.
    DoubleSettle,
    /// The lane decides on an old balance.
    StaleBook,
    /// Idempotency keys are not written.
    ForgetKeys,
    /// Nobody looks again at open refunds.
    DeafSweep,
    /// A decline is reported as a success.
    DeclineIsSuccess,
    /// A notice of a PSP that can be asked is believed as it comes.
    BelievedNotice,
    /// Notices that wait are forgotten in a crash.
    ForgetPost,
    /// Nobody rules on what nobody else can tell.
    NobodyRules,
    /// What is given back at the PSP itself is taken for news of nothing.
    DeafToOthers,
    /// A process that stood still makes the calls that it had prepared, however late.
    LateCall,
    /// A node that starts takes all calls under way for its own, which died with it.
    RecoverAsIfAlone,
    /// A cancellation without an answer is taken for one that was carried out.
    LostCancelIsDone,
}

impl Bug {
    pub const ALL: [(&'static str, Bug); 19] = [
        ("call-before-commit", Bug::CallBeforeCommit),
        ("answer-before-commit", Bug::AnswerBeforeCommit),
        ("unknown-is-failed", Bug::UnknownIsFailed),
        ("fresh-key-per-attempt", Bug::FreshKeyPerAttempt),
        ("absent-without-asking", Bug::AbsentWithoutAsking),
        ("lagging-look-up", Bug::LaggingLookUp),
        ("forget-refund-on-crash", Bug::ForgetOnCrash),
        ("double-settle", Bug::DoubleSettle),
        ("stale-book", Bug::StaleBook),
        ("forget-keys", Bug::ForgetKeys),
        ("deaf-sweep", Bug::DeafSweep),
        ("decline-is-success", Bug::DeclineIsSuccess),
        ("believed-notice", Bug::BelievedNotice),
        ("forget-post", Bug::ForgetPost),
        ("nobody-rules", Bug::NobodyRules),
        ("deaf-to-others", Bug::DeafToOthers),
        ("late-call", Bug::LateCall),
        ("recover-as-if-alone", Bug::RecoverAsIfAlone),
        ("lost-cancel-is-done", Bug::LostCancelIsDone),
    ];

    /// The climate in which it shows; `None`: any.
    pub fn climate(self) -> Climate {
        match self {
            Bug::BelievedNotice => Climate::LyingPsp,
            Bug::ForgetPost | Bug::NobodyRules => Climate::RepeatPsp,
            Bug::LateCall | Bug::RecoverAsIfAlone => Climate::Nodes,
            Bug::LostCancelIsDone => Climate::Doubts,
            _ => Climate::Mixed,
        }
    }

    pub fn named(name: &str) -> Option<Bug> {
        let listed = Bug::ALL.iter().find(|(word, _)| *word == name);
        listed.map(|(_, bug)| *bug)
    }

    pub fn name(self) -> &'static str {
        let listed = Bug::ALL.iter().find(|(_, bug)| *bug == self);
        listed.expect("ALL lists every bug").0
    }
}

//! What a PSP tells without being asked: which refund it means, and what that changes.
//!
//! - Of a PSP that can be asked, a notice that says something new only makes a call: what the call finds
//!   is applied, so neither the order of notices nor their age matters.
//! - Of one that cannot, the notice is settled like an answer, unless a later one was before it.
//! - What is none of ours is booked as a refund of its own. When one of ours turns out to be the very
//!   same at the PSP, the other is taken back in the same commit: money counts once.

use requite_core::external::{NotBooked, Told, external};
use requite_core::refund::{Fault, Status};
use requite_core::settle::{self, Alarm, Finding, Outcome};

use super::{Batch, REQUITE, Verdict};
use crate::command::{
    Details, EXTERNAL, Mark, Notice, Noticed, Obstacle, Oddity, Reason, RefundRef, Reply, Trust,
};
use crate::key::{KeyOutcome, KeyRecord, lost};
use crate::psp::CallKind;
use crate::store::{NewAlarm, NewRefund, RefundRecord};

/// Which refund a notice means.
enum Match {
    Known(RefundRef),
    /// None of ours. `is_twice`: it has the key of one of ours, which is another one at the PSP.
    Elsewhere {
        is_twice: bool,
    },
    /// It may be one of ours that the PSP has given no name yet, or none of ours. Once ours has its name, it is
    /// known.
    Unclear,
}

impl Batch<'_> {
    pub(super) fn notice(&mut self, notice: &Notice) -> Verdict {
        let noticed = match self.odd(notice) {
            Some(oddity) => Noticed::Odd(oddity),
            None => match self.matched(notice) {
                Match::Unclear => Noticed::Later(Obstacle::Unnamed),
                Match::Elsewhere { is_twice } => self.book_external(notice, is_twice),
                Match::Known(refund) => match self.hear(refund, notice) {
                    Ok(noticed) => noticed,
                    Err(verdict) => return verdict,
                },
            },
        };
        Verdict::Answer(Ok(Reply::Noticed(noticed)))
    }

    fn odd(&self, notice: &Notice) -> Option<Oddity> {
        let book = self.loaded.books.get(&(notice.merchant, notice.payment));
        let book = book.filter(|book| book.connector == notice.connector);
        match book {
            None => Some(Oddity::OtherAccount),
            Some(_) if !notice.outcome.is_told() || notice.outcome == Outcome::Absent => {
                Some(Oddity::Untold)
            }
            Some(book) if book.payment.currency().code() != notice.currency.code() => {
                Some(Oddity::OtherCurrency)
            }
            Some(_) => None,
        }
    }

    fn matched(&self, notice: &Notice) -> Match {
        let at = |refund| RefundRef { merchant: notice.merchant, payment: notice.payment, refund };
        let own = self.loaded.refunds.iter().filter(|(key, _)| **key == at(key.refund));
        let told = notice.outcome.psp_refund();
        let by_id = own
            .clone()
            .filter(|(_, record)| told.is_some() && record.refund.psp_refund.as_deref() == told);
        // One of ours before one that was taken for another's.
        if let Some((key, _)) = by_id.min_by_key(|(key, record)| (record.is_external, **key)) {
            return Match::Known(*key);
        }
        let is_nameless = |record: &RefundRecord| record.refund.psp_refund.is_none();
        match notice.mark {
            Mark::Ours(refund) => match self.loaded.refunds.get(&at(refund)) {
                Some(record) if told.is_none() || is_nameless(record) => Match::Known(at(refund)),
                found => Match::Elsewhere { is_twice: found.is_some() },
            },
            Mark::NotOurs => Match::Elsewhere { is_twice: false },
            Mark::Unstated => {
                let mut open = own.filter(|(_, record)| {
                    let refund = &record.refund;
                    let is_it = refund.status.is_open() && refund.amount == notice.amount;
                    is_it && is_nameless(record)
                });
                match (open.next(), open.next()) {
                    (None, _) => Match::Elsewhere { is_twice: false },
                    // A look-up will tell. A notice that is evidence itself may be of a refund that somebody
                    // made there by hand, and nothing is settled on a guess.
                    (Some((key, _)), None) if notice.trust != Trust::Evidence => Match::Known(*key),
                    _ => Match::Unclear,
                }
            }
        }
    }

    /// A notice about a refund that is on the books. `Err`: it is answered once the PSP was asked.
    fn hear(&mut self, key: RefundRef, notice: &Notice) -> Result<Noticed, Verdict> {
        let record = self.loaded.refunds.get(&key).expect("it was matched among the loaded ones");
        let refund = &record.refund;
        if refund.amount != notice.amount {
            return Ok(Noticed::Odd(Oddity::OtherAmount));
        }
        if notice.trust == Trust::Evidence {
            return Ok(self.believe(key, notice));
        }
        let is_named = refund.psp_refund.as_deref() == notice.outcome.psp_refund();
        if is_named && agrees(refund.status, &notice.outcome) {
            return Ok(Noticed::Known(key));
        }
        // Another server's call is not under way here; its attempt is on the books until it is due.
        let is_out = refund.status == Status::Dispatched
            && refund.next_action_at_ms.is_some_and(|due_ms| due_ms > notice.at_ms);
        if is_out || self.under_way.contains_key(&key) || self.called.contains(&key) {
            return Ok(Noticed::Later(Obstacle::CallUnderWay));
        }
        let change = settle::inquire(refund, notice.at_ms);
        let was = refund.status;
        self.change(key, &change, notice.at_ms);
        self.call(key, CallKind::LookUp, notice.at_ms);
        if was != change.refund.status {
            self.answer_waiters(key);
        }
        Err(Verdict::Hear { refund: key, attempt: change.refund.attempt })
    }

    /// The notice is the evidence.
    fn believe(&mut self, key: RefundRef, notice: &Notice) -> Noticed {
        let record = self.loaded.refunds.get_mut(&key).expect("the caller found it");
        let is_newer = match (notice.said_at_ms, record.heard_at_ms) {
            (Some(said), Some(heard)) if said == heard => {
                // Of one moment, what undoes comes after what it undoes.
                record.refund.status.is_open() || !is_forward(&notice.outcome)
            }
            (Some(said), Some(heard)) => said > heard,
            (_, None) | (None, _) => true,
        };
        if !is_newer {
            return Noticed::Known(key);
        }
        let finding = Finding {
            attempt: record.refund.attempt,
            outcome: notice.outcome.clone(),
            at_ms: notice.at_ms,
        };
        record.heard_at_ms = notice.said_at_ms.or(record.heard_at_ms);
        self.changed_refunds.insert(key, notice.at_ms);
        let actor = said_by(&notice.connector);
        match self.apply(key, &finding, &actor) {
            true => Noticed::Settled(key),
            false => Noticed::Known(key),
        }
    }

    fn book_external(&mut self, notice: &Notice, is_twice: bool) -> Noticed {
        let of = (notice.merchant, notice.payment);
        let (refund, at_ms) = (notice.fresh, notice.at_ms);
        let book = self.loaded.books.get(&of).expect("a notice is odd without its payment");
        let told = Told { refund, amount: notice.amount, outcome: &notice.outcome, at_ms };
        let change = match external(&book.payment, &told) {
            Ok(change) => change,
            Err(NotBooked::MovedNothing) => return Noticed::MovedNothing,
            Err(NotBooked::NotCaptured) => return Noticed::Odd(Oddity::NotCaptured),
            Err(NotBooked::DoesNotFit { .. }) => return Noticed::Later(Obstacle::DoesNotFit),
        };
        let key = RefundRef { merchant: of.0, payment: of.1, refund };
        let asked_seq = self.seq(of).saturating_add(1);
        let actor = said_by(&notice.connector);
        let by = (actor.clone(), at_ms);
        self.record_refund(key, &change.refund, &change.entries, by);
        let record = RefundRecord {
            refund: change.refund,
            call_no: 0,
            reason: None,
            is_keyed: false,
            is_external: true,
            heard_at_ms: notice.said_at_ms,
            asked_at_ms: at_ms,
        };
        self.loaded.refunds.insert(key, record.clone());
        let previous = self.follow(key);
        self.externals.push(key);
        let details = external_details(actor);
        let new = NewRefund {
            key,
            record,
            details,
            reference: None,
            asked_seq,
            asked_at_ms: at_ms,
            previous,
        };
        self.changes.new_refunds.push(new);
        if let Mark::Ours(refund) = notice.mark
            && !is_twice
        {
            // One of ours that this store does not know: it was made before a backup was restored.
            // Told under several ids of the PSP's, the first stands for it.
            let at = (of.0, lost(of.1, refund));
            if self.recorded(at).is_none() {
                let outcome = KeyOutcome::Refund { refund: key, answered: None };
                self.keys.insert(at, KeyRecord { fingerprint: [0; 16], at_ms, outcome });
            }
        }
        let twice = is_twice.then_some(Alarm::PaidTwice);
        for alarm in change.alarm.into_iter().chain(twice) {
            self.raise(key, alarm, at_ms);
        }
        Noticed::External(key)
    }

    /// One of ours is what was booked as another's: that one is taken back, before ours is settled.
    pub(super) fn withdraw_twin(&mut self, key: RefundRef, finding: &Finding) {
        let status = self.status(key);
        let counts = status.is_some_and(Status::holds_money)
            || matches!(finding.outcome, Outcome::Succeeded { .. });
        let told = finding.outcome.psp_refund().filter(|_| is_forward(&finding.outcome));
        let Some(told) = told.filter(|_| counts) else {
            return;
        };
        let is_twin = |at: &RefundRef, record: &RefundRecord| {
            let is_other = record.is_external && *at != key && at.payment == key.payment;
            is_other
                && at.merchant == key.merchant
                && record.refund.status.holds_money()
                && record.refund.psp_refund.as_deref() == Some(told)
        };
        let known = |at: &RefundRef| Some((*at, self.loaded.refunds.get(at)?));
        let mut externals = self.externals.iter().filter_map(known);
        let Some((twin, record)) = externals.find(|(at, record)| is_twin(at, record)) else {
            return;
        };
        let attempt = record.refund.attempt;
        let id = requite_core::id::uuid_text(key.refund.bits());
        let text = format!("it is refund {id}, where it is counted");
        let fault = Fault { code: "counted_twice".to_owned(), text };
        let outcome = Outcome::Voided { psp_refund: None, fault };
        let finding = Finding { attempt, outcome, at_ms: finding.at_ms };
        self.apply(twin, &finding, REQUITE);
    }

    /// Something that a person should see.
    pub(super) fn raise(&mut self, key: RefundRef, alarm: Alarm, at_ms: i64) {
        tracing::warn!(?key, alarm = alarm.word(), "a refund needs a person's eye");
        self.changes.alarms.push(NewAlarm { key, alarm, at_ms });
    }
}

/// Who is told to have done what a notice tells.
fn said_by(connector: &str) -> String {
    format!("psp:{connector}")
}

fn is_forward(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Succeeded { .. } | Outcome::Pending { .. } | Outcome::RequiresAction { .. }
    )
}

/// What a notice says is what is known.
fn agrees(status: Status, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Succeeded { .. } => status == Status::Succeeded,
        Outcome::Pending { .. } => status == Status::Pending,
        Outcome::RequiresAction { .. } => status == Status::RequiresAction,
        Outcome::Declined { .. } | Outcome::Failed { .. } | Outcome::Voided { .. } => {
            !status.holds_money()
        }
        Outcome::Unknown { .. }
        | Outcome::NotSent { .. }
        | Outcome::Unreached { .. }
        | Outcome::Absent => false,
    }
}

fn external_details(actor: String) -> Details {
    Details {
        face: EXTERNAL.to_owned(),
        actor,
        reason_code: None,
        reason_text: None,
        reason: Reason::None,
        note: None,
        external_identifier: None,
        given_id: None,
        key_text: None,
        metadata: None,
        wants_reference: false,
    }
}

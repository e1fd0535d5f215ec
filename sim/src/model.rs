//! What must be true, told a second time and in the simplest way: sums per leg, a status per
//! refund, a meaning per key. It shares no rule with the product.
//!
//! The world shows it every command whose transaction was committed ([`Model::apply`]), in order;
//! it says what must have become of it. What the store was given is then held against it
//! ([`Model::check_commit`]).

use std::collections::{BTreeMap, BTreeSet};

use requite_core::decide::{Amount, Refusal, Target};
use requite_core::id::{CaptureId, LegId, MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::{MINOR_MAX, Minor};
use requite_core::refund::Status;
use requite_core::schedule;
use requite_engine::command::{
    Booking, BookingRequest, Command, NotCancelled, Noticed, Reason, RefundRef, RefundRequest,
    Registered, Registration, Resolved,
};
use requite_engine::event::{Event, Kind};
use requite_engine::key::{KEY_LIFE_MS, Key, KeyOutcome, Lifetime, UNTOLD_LIFE_MS};
use requite_engine::store::{Changes, RefundRecord};

mod doubt;
mod news;
mod notice;

pub type Of = (MerchantId, PaymentId);

/// A payment: sums per leg, and its history as committed.
#[derive(Clone, Debug)]
pub struct Account {
    pub code: String,
    pub is_cancelled: bool,
    /// Its connector needs no PSP.
    pub is_immediate: bool,
    pub legs: Vec<LegSum>,
    pub registration: Box<Registration>,
    /// (number, refund, status) of every committed event of a refund.
    history: Vec<(u32, RefundId, Status)>,
    seq: u32,
}

/// All amounts in minor units.
#[derive(Clone, Copy, Debug)]
pub struct LegSum {
    pub id: LegId,
    pub authorised: i64,
    pub captured: i64,
    pub released: i64,
    /// Given back or promised.
    pub held: i64,
    /// Given back beyond what was captured: the PSP paid what it had declined.
    pub excess: i64,
    /// How many times something was taken.
    captures: usize,
}

impl LegSum {
    /// It was captured once, and nothing more can be. This model keeps sums per leg, and what of money
    /// that was paid beyond what is left is excess is a matter of captures.
    fn is_whole(&self) -> bool {
        self.captures == 1 && self.captured + self.released == self.authorised
    }
}

impl Account {
    pub fn captured(&self) -> i64 {
        self.legs.iter().map(|leg| leg.captured).sum()
    }
}

/// A refund that was accepted.
#[derive(Clone, Debug)]
pub struct Kept {
    leg: usize,
    pub amount: i64,
    pub status: Status,
    pub attempt: u32,
    sends: u32,
    looks: u32,
    pub due_ms: Option<i64>,
    /// Asked for with a key of the caller's own.
    is_keyed: bool,
    /// What the PSP called it, once it did.
    pub psp_refund: Option<String>,
    /// It was made at the PSP, and no call of ours asked for it.
    pub is_external: bool,
    /// When the newest notice that was believed says it happened.
    heard_ms: Option<i64>,
    /// When it was accepted.
    asked_ms: i64,
}

/// What a key stands for.
#[derive(Clone, Debug)]
struct Bound {
    fingerprint: [u8; 16],
    at_ms: i64,
    to: BoundTo,
    /// The first final answer that a client got: event number and status.
    told: Option<(Option<u32>, Status)>,
}

#[derive(Clone, Debug, PartialEq)]
enum BoundTo {
    Refund(RefundRef),
    Refusal(Refusal),
}

/// What must have become of a request to refund.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    PaymentUnknown,
    Accept,
    Refuse(Refusal),
    /// The key's refund, made before.
    Repeat(RefundRef),
    RepeatRefusal(Refusal),
    KeyReused,
    /// One of two: both are right.
    Either(Box<Verdict>, Refusal),
}

/// What must have become of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Refund(Verdict),
    Registered(Registered),
    /// A capture or a void: made, refused, or of a payment that is not there.
    Booked {
        is_replay: bool,
    },
    NotBooked {
        is_replay: bool,
    },
    PaymentUnknown,
    /// The key was used for another capture or void.
    KeyReused,
    Noticed(Noticed),
    /// A notice that is answered with what a call about this refund finds.
    Heard(RefundRef),
    Resolved(Resolved),
    /// A person's word that is on the books.
    Ruled,
    /// A proposed refund that would fit if money that open ones hold came free.
    Doubtful,
    /// What is unknown is looked up, this refund first: answered with what that finds.
    Clarifies(RefundRef),
    NotCancelled(NotCancelled),
    /// It was cancelled before.
    Cancelled(RefundRef),
    /// The PSP is asked to cancel it: answered with how it stands then.
    CancelAsked(RefundRef),
    Noted,
}

/// What a key of a capture or void stands for.
#[derive(Clone, Debug)]
struct BookedKey {
    fingerprint: [u8; 16],
    at_ms: i64,
    is_booked: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub payments: BTreeMap<Of, Account>,
    pub refunds: BTreeMap<RefundRef, Kept>,
    pub open: BTreeSet<RefundRef>,
    /// Major amounts in thousandths of a minor unit, by the refund that was asked with them.
    pub majors: BTreeMap<RefundId, i128>,
    pub reasons: BTreeSet<(MerchantId, ReasonId)>,
    /// Committed calls to PSPs.
    pub attempts: BTreeSet<(RefundRef, u32)>,
    keys: BTreeMap<(MerchantId, [u8; 16]), Bound>,
    booked_keys: BTreeMap<(MerchantId, [u8; 16]), BookedKey>,
    externals: BTreeMap<(MerchantId, String), PaymentId>,
    /// Refunds that the batch at hand made. Where both answers are right, it says which it was.
    made: BTreeSet<RefundId>,
    /// Keys that it bound: to a refund, or to a refusal.
    bound_now: BTreeMap<(MerchantId, [u8; 16]), bool>,
    /// Refunds of which a client knows the outcome.
    known: BTreeSet<RefundRef>,
    /// An answer got lost in this run: a crash, or a commit without an answer.
    has_lost: bool,
    /// Calls of living lanes whose outcome is not here yet, by the lane's number.
    under_way: BTreeMap<(usize, RefundRef), u32>,
    /// The lane whose commands are shown.
    pub lane: usize,
    /// Several nodes: what clients of another one were told, a lane does not know.
    pub is_shared: bool,
    /// What the PSP calls refunds, by payment.
    named: BTreeMap<(Of, String), BTreeSet<RefundRef>>,
    /// Refunds of which somebody may be told in this step.
    news: BTreeSet<RefundRef>,
    /// Calls that the batch at hand makes.
    called_now: BTreeSet<RefundRef>,
    /// Refunds that the commands since the last check must have changed.
    touched: BTreeSet<RefundRef>,
}

impl Model {
    /// A call leaves.
    pub fn called(&mut self, refund: RefundRef, attempt: u32) {
        self.under_way.insert((self.lane, refund), attempt);
    }

    /// Commands reach the lane: a call whose outcome is among them is over.
    pub fn received(&mut self, command: &Command) {
        if let Command::Settle { refund, .. }
        | Command::Wake { refund, .. }
        | Command::Learn { refund } = command
        {
            self.news.insert(*refund);
        }
        if let Command::Settle { refund, finding } = command {
            let at = (self.lane, *refund);
            if self.under_way.get(&at) == Some(&finding.attempt) {
                self.under_way.remove(&at);
            }
        }
    }

    fn is_called(&self, refund: RefundRef) -> bool {
        self.under_way.contains_key(&(self.lane, refund)) || self.called_now.contains(&refund)
    }

    /// A step is over, and its answers were heard.
    pub fn heard(&mut self) {
        self.news.clear();
    }

    /// A process died, and the calls of its lanes with it.
    pub fn crashed(&mut self, lanes: std::ops::Range<usize>) {
        self.under_way.retain(|(lane, _), _| !lanes.contains(lane));
        self.has_lost = true;
    }

    /// What the batch at hand made, before its commands are shown.
    pub fn look_at(&mut self, changes: &Changes, is_told: bool) {
        self.called_now.clear();
        self.made = changes.new_refunds.iter().map(|new| new.key.refund).collect();
        let bound = changes.keys.iter().map(|(at, record)| {
            let is_refund = matches!(record.outcome, KeyOutcome::Refund { .. });
            (*at, is_refund)
        });
        self.bound_now = bound.collect();
        self.has_lost |= !is_told;
    }

    /// What a committed command must have done.
    pub fn apply(&mut self, command: &Command) -> Expected {
        match command {
            Command::Register(new) => Expected::Registered(self.register(new)),
            Command::Book(request) => self.book(request),
            Command::Amend(_) => Expected::Noted,
            Command::Refund(request) => Expected::Refund(self.refund(request)),
            Command::Propose(request) if self.is_doubtful(request) => Expected::Doubtful,
            Command::Propose(request) => Expected::Refund(self.refund(request)),
            Command::Clarify { merchant, payment, at_ms } => {
                self.clarify((*merchant, *payment), *at_ms)
            }
            Command::Cancel(request) => self.cancel(request),
            Command::Settle { refund, finding } => {
                self.settle(*refund, finding);
                Expected::Noted
            }
            Command::Wake { refund, at_ms, is_restart } => {
                self.wake(*refund, *at_ms, *is_restart);
                Expected::Noted
            }
            Command::Notice(notice) => self.notice(notice),
            Command::Resolve(request) => self.resolve(request),
            Command::Expire { .. } | Command::Learn { .. } => Expected::Noted,
        }
    }

    // --- Payments ---

    fn register(&mut self, new: &Registration) -> Registered {
        let named = new.external_identifier.clone().map(|text| (new.merchant, text));
        let by_name = named.as_ref().and_then(|named| self.externals.get(named)).copied();
        let id = by_name.unwrap_or(new.payment);
        if let Some(known) = self.payments.get(&(new.merchant, id)) {
            return if known.registration.fingerprint == new.fingerprint {
                Registered::Present(id)
            } else {
                Registered::Differs(id)
            };
        }
        let taken = new.captures.iter().map(|(_, amount)| amount.units()).sum();
        let primary = (new.primary, taken, new.captures.len());
        let cards = new.gift_cards.iter().map(|card| (*card, card.amount.units(), 1));
        let legs = std::iter::once(primary).chain(cards);
        let legs = legs.map(|(leg, captured, captures)| LegSum {
            id: leg.id,
            authorised: leg.amount.units(),
            captured,
            released: 0,
            held: 0,
            excess: 0,
            captures,
        });
        let account = Account {
            code: new.currency.code().to_owned(),
            is_cancelled: new.cancelled_at_ms.is_some(),
            is_immediate: new.connector == "manual",
            legs: legs.collect(),
            registration: Box::new(new.clone()),
            history: Vec::new(),
            seq: 0,
        };
        self.payments.insert((new.merchant, new.payment), account);
        self.externals.extend(named.map(|named| (named, new.payment)));
        Registered::Created(new.payment)
    }

    fn book(&mut self, request: &BookingRequest) -> Expected {
        let of = (request.merchant, request.payment);
        let Some(account) = self.payments.get_mut(&of) else {
            return Expected::PaymentUnknown;
        };
        let at_ms = request.at_ms;
        let key = request.keys.first().map(|key| (request.merchant, key.hash));
        let bound = key.and_then(|key| self.booked_keys.get(&key));
        if let Some(bound) = bound.filter(|bound| at_ms - bound.at_ms < KEY_LIFE_MS) {
            let is_same = request.keys.iter().all(|key| key.fingerprint == bound.fingerprint);
            return match (is_same, bound.is_booked) {
                (false, _) => Expected::KeyReused,
                (true, true) => Expected::Booked { is_replay: true },
                (true, false) => Expected::NotBooked { is_replay: true },
            };
        }
        let leg = &mut account.legs[0];
        let open = leg.authorised - leg.captured - leg.released;
        let amount = request.amount.unwrap_or(open);
        let is_booked = !account.is_cancelled && amount > 0 && amount <= open;
        match (is_booked, request.booking) {
            (true, Booking::Capture { is_final }) => {
                leg.captured += amount;
                leg.captures += 1;
                if is_final {
                    leg.released = leg.authorised - leg.captured;
                }
            }
            (true, Booking::Void) => leg.released += amount,
            (true, Booking::Extension) | (false, _) => {}
        }
        // An amount that is none is a refusal of form: its key stays free.
        let is_kept =
            is_booked || account.is_cancelled || request.amount.is_none_or(|amount| amount > 0);
        if let (true, Some(key)) = (is_kept, request.keys.first()) {
            let fingerprint = key.fingerprint;
            let bound = BookedKey { fingerprint, at_ms, is_booked };
            self.booked_keys.insert((request.merchant, key.hash), bound);
        }
        if is_booked {
            Expected::Booked { is_replay: false }
        } else {
            Expected::NotBooked { is_replay: false }
        }
    }

    // --- Refunds ---

    fn refund(&mut self, request: &RefundRequest) -> Verdict {
        if !self.payments.contains_key(&(request.merchant, request.payment)) {
            return Verdict::PaymentUnknown;
        }
        for key in &request.keys {
            let Some((verdict, is_certain)) = self.repeat(request, key) else {
                continue;
            };
            let verdict = if is_certain { Some(verdict) } else { self.which(request, verdict) };
            let joined = match &verdict {
                Some(Verdict::Either(joined, _)) if self.is_bound_now(request) == Some(true) => {
                    Some(joined.as_ref())
                }
                verdict => verdict.as_ref(),
            };
            if let Some(&Verdict::Repeat(refund)) = joined {
                self.news.insert(refund);
                self.bind_free(request, refund);
            }
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
        match self.judge(request) {
            Ok((leg, amount)) => {
                self.accept(request, leg, amount);
                Verdict::Accept
            }
            Err(refusal) => {
                self.keep_refusal(request, &refusal);
                Verdict::Refuse(refusal)
            }
        }
    }

    /// Where joining an open refund and being a wish of its own are both right: which it was.
    /// `None`: a wish of its own.
    fn which(&self, request: &RefundRequest, joined: Verdict) -> Option<Verdict> {
        if self.made.contains(&request.ask.refund) {
            return None;
        }
        let Err(refusal) = self.judge(request) else {
            return Some(joined);
        };
        match self.is_bound_now(request) {
            Some(false) => None,
            // Bound by this request, or by a later one of the batch with the same key.
            Some(true) | None => Some(Verdict::Either(Box::new(joined), refusal)),
        }
    }

    fn is_bound_now(&self, request: &RefundRequest) -> Option<bool> {
        let kept = request.keys.iter().filter(|key| key.lifetime == Lifetime::Kept);
        let mut bound = kept.filter_map(|key| self.bound_now.get(&(request.merchant, key.hash)));
        bound.next().copied()
    }

    /// What binds a key, and whether that is certain.
    fn binding(&self, request: &RefundRequest, key: &Key) -> Option<(&Bound, bool)> {
        let bound = self.keys.get(&(request.merchant, key.hash))?;
        let age_ms = request.ask.at_ms - bound.at_ms;
        let binds = match (key.lifetime, &bound.to) {
            (Lifetime::Kept, _) => age_ms < KEY_LIFE_MS,
            (Lifetime::Within(ms), _) => age_ms < ms,
            (Lifetime::WhileUnknown, BoundTo::Refund(refund)) => {
                // Two keys of callers' own are two wishes.
                if request.details.key_text.is_some() && self.refunds[refund].is_keyed {
                    return None;
                }
                return self.is_joined(*refund, age_ms).map(|is_certain| (bound, is_certain));
            }
            (Lifetime::WhileUnknown, BoundTo::Refusal(_)) => false,
        };
        binds.then_some((bound, true))
    }

    /// Decision L6: a request joins an equal one whose requester was sent away without its outcome,
    /// until somebody was told it. It is a wish of its own as long as the first may still be
    /// waiting; what a client whose answer got lost was told, nobody knows. `None`: it does not
    /// join; `Some(false)`: it may.
    fn is_joined(&self, first: RefundRef, age_ms: i64) -> Option<bool> {
        let kept = &self.refunds[&first];
        if kept.status == Status::Unknown {
            return Some(true);
        }
        if age_ms >= UNTOLD_LIFE_MS {
            return None;
        }
        let may_be_told = self.has_lost || self.is_shared;
        let is_untold = !self.known.contains(&first) && !may_be_told;
        let has_left = kept.attempt > 1 || !kept.status.is_open();
        let is_news = self.news.contains(&first);
        Some(is_untold && has_left && !is_news)
    }

    fn repeat(&self, request: &RefundRequest, key: &Key) -> Option<(Verdict, bool)> {
        let (bound, is_certain) = self.binding(request, key)?;
        if bound.fingerprint != key.fingerprint {
            return Some((Verdict::KeyReused, is_certain));
        }
        let verdict = match &bound.to {
            BoundTo::Refund(refund) => Verdict::Repeat(*refund),
            BoundTo::Refusal(refusal) => Verdict::RepeatRefusal(refusal.clone()),
        };
        Some((verdict, is_certain))
    }

    /// Whoever is answered with a refund holds it under every key they sent: that key must not
    /// make a second one later.
    fn bind_free(&mut self, request: &RefundRequest, refund: RefundRef) {
        for key in &request.keys {
            let is_free = self.binding(request, key).is_none();
            if key.lifetime == Lifetime::Kept && is_free {
                self.bind(request, key, BoundTo::Refund(refund));
            }
        }
    }

    fn bind(&mut self, request: &RefundRequest, key: &Key, to: BoundTo) {
        let bound =
            Bound { fingerprint: key.fingerprint, at_ms: request.ask.at_ms, to, told: None };
        self.keys.insert((request.merchant, key.hash), bound);
    }

    fn keep_refusal(&mut self, request: &RefundRequest, refusal: &Refusal) {
        let is_form = matches!(
            refusal,
            Refusal::NotPositive | Refusal::Fraction { .. } | Refusal::ReasonUnknown
        );
        for key in request.keys.iter().filter(|key| key.lifetime == Lifetime::Kept) {
            if !is_form {
                self.bind(request, key, BoundTo::Refusal(refusal.clone()));
            }
        }
    }

    /// May it be made? Which leg (its place) and how much.
    fn judge(&self, request: &RefundRequest) -> Result<(usize, i64), Refusal> {
        let account = &self.payments[&(request.merchant, request.payment)];
        let at = match request.ask.target {
            Target::Primary => 0,
            Target::Leg(id) => {
                let at = account.legs.iter().position(|leg| leg.id == id);
                at.ok_or(Refusal::LegUnknown)?
            }
        };
        let leg = account.legs[at];
        let left = leg.captured - leg.held;
        if leg.captured == 0 {
            return Err(Refusal::NotCaptured);
        }
        if account.is_cancelled {
            return Err(Refusal::Cancelled);
        }
        if left == 0 {
            return Err(Refusal::NothingLeft);
        }
        let currency = account.registration.currency;
        if let Some(asked) = request.ask.currency.filter(|asked| asked.code() != account.code) {
            return Err(Refusal::CurrencyDiffers { asked, payment: currency });
        }
        let exceeds = |asked| Refusal::ExceedsLeft { asked, left: minor(left) };
        let amount = match &request.ask.amount {
            Amount::Remaining => left,
            Amount::Whole => leg.authorised,
            Amount::Minor(units) if *units <= 0 => return Err(Refusal::NotPositive),
            Amount::Minor(units) if *units > MINOR_MAX => return Err(exceeds(None)),
            Amount::Minor(units) => *units,
            Amount::Major(_) => {
                let thousandths = self.majors[&request.ask.refund];
                let all_left = i128::from(left) * 1_000;
                match thousandths {
                    ..=0 => return Err(Refusal::NotPositive),
                    _ if thousandths / 1_000 > i128::from(MINOR_MAX) => return Err(exceeds(None)),
                    _ if thousandths % 1_000 == 0 => {
                        i64::try_from(thousandths / 1_000).expect("at most MINOR_MAX")
                    }
                    _ if (thousandths - all_left).abs() <= 500 => left,
                    _ if thousandths > all_left => return Err(exceeds(None)),
                    _ => return Err(Refusal::Fraction { currency }),
                }
            }
        };
        if amount > left {
            return Err(exceeds(Some(minor(amount))));
        }
        match request.details.reason {
            Reason::Kept(id) if !self.reasons.contains(&(request.merchant, id)) => {
                Err(Refusal::ReasonUnknown)
            }
            Reason::Unknown => Err(Refusal::ReasonUnknown),
            Reason::Kept(_) | Reason::None => Ok((at, amount)),
        }
    }

    fn accept(&mut self, request: &RefundRequest, leg: usize, amount: i64) {
        let refund = RefundRef {
            merchant: request.merchant,
            payment: request.payment,
            refund: request.ask.refund,
        };
        let account = self.payments.get_mut(&(request.merchant, request.payment));
        let account = account.expect("it was judged");
        account.legs[leg].held += amount;
        let calls = u32::from(!account.is_immediate);
        let status = if account.is_immediate { Status::Succeeded } else { Status::Dispatched };
        let kept = Kept {
            leg,
            amount,
            status,
            attempt: calls,
            sends: calls,
            looks: 0,
            due_ms: schedule::next_action_at(status, 0, request.ask.at_ms),
            is_keyed: request.details.key_text.is_some(),
            psp_refund: None,
            is_external: false,
            heard_ms: None,
            asked_ms: request.ask.at_ms,
        };
        if status.is_open() {
            self.open.insert(refund);
            self.called_now.insert(refund);
        }
        self.refunds.insert(refund, kept);
        self.news.insert(refund);
        self.touched.insert(refund);
        for key in &request.keys {
            self.bind(request, key, BoundTo::Refund(refund));
        }
    }

    // --- What was committed ---

    /// Holds a committed batch against what its commands must have done.
    pub fn check_commit(&mut self, changes: &Changes) -> Result<(), String> {
        let mut changed = BTreeSet::new();
        let new = changes.new_refunds.iter().map(|new| (new.key, &new.record));
        let old = changes.refunds.iter().map(|change| (change.key, &change.record));
        for (key, record) in new.chain(old) {
            self.check_record(key, record)?;
            changed.insert(key);
        }
        let touched = std::mem::take(&mut self.touched);
        if touched != changed {
            let differ: Vec<_> = touched.symmetric_difference(&changed).collect();
            return Err(format!("other refunds changed than should have: {differ:?}"));
        }
        let attempts = changes.attempts.iter();
        self.attempts.extend(attempts.map(|new| (new.key, new.attempt)));
        changes.events.iter().try_for_each(|event| self.check_event(event))?;
        for change in &changes.books {
            let account = &self.payments[&(change.merchant, change.book.payment.id())];
            for (leg, sum) in change.book.payment.legs().iter().zip(&account.legs) {
                let left = leg.refundable().units();
                if left != sum.captured - sum.held || leg.captured().units() != sum.captured {
                    return Err(format!(
                        "I11: leg {:?} has {left} left of {}, it should be {} of {}",
                        leg.id(),
                        leg.captured().units(),
                        sum.captured - sum.held,
                        sum.captured
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_record(&self, key: RefundRef, record: &RefundRecord) -> Result<(), String> {
        let refund = &record.refund;
        let Some(kept) = self.refunds.get(&key) else {
            return Err(format!("{key:?} was made and nobody may have made it"));
        };
        let account = &self.payments[&(key.merchant, key.payment)];
        let is = (
            refund.amount.units(),
            refund.leg,
            refund.status,
            (refund.attempt, refund.sends),
            refund.next_action_at_ms,
            (refund.psp_refund.as_ref(), record.is_external, record.heard_at_ms),
        );
        let should_be = (
            kept.amount,
            account.legs[kept.leg].id,
            kept.status,
            (kept.attempt, kept.sends),
            kept.due_ms,
            (kept.psp_refund.as_ref(), kept.is_external, kept.heard_ms),
        );
        if is != should_be {
            return Err(format!("{key:?} is {is:?}, it should be {should_be:?}"));
        }
        Ok(())
    }

    /// I8 and I12 as they are written: every move is one of those that the states allow, and the
    /// numbers have no gaps.
    fn check_event(&mut self, event: &Event) -> Result<(), String> {
        let account = self.payments.get_mut(&(event.merchant, event.payment));
        let account = account.ok_or("an event of a payment that is not there")?;
        account.seq += 1;
        if event.seq != account.seq {
            return Err(format!("I12: event {} after {}", event.seq, account.seq - 1));
        }
        let (Kind::Refund, Some(to)) = (event.kind, event.status) else {
            return Ok(());
        };
        let refund = RefundId::new(event.subject);
        let before = account.history.iter().rfind(|(_, of, _)| *of == refund);
        let from = before.map(|(_, _, status)| *status);
        account.history.push((event.seq, refund, to));
        if from != Some(to) && !may_follow(from, to) {
            return Err(format!("I8: {refund:?} went from {from:?} to {to:?}"));
        }
        Ok(())
    }

    /// (before, after) of every move of a refund in these changes, for the summary.
    pub fn moves(&self, changes: &Changes) -> Vec<(Option<Status>, Status)> {
        let of = |event: &Event| {
            let to = event.status?;
            let account = self.payments.get(&(event.merchant, event.payment))?;
            let refund = RefundId::new(event.subject);
            let own = |(seq, of, _): &&(u32, RefundId, Status)| *of == refund && *seq < event.seq;
            let before = account.history.iter().rfind(own);
            Some((before.map(|(_, _, status)| *status), to))
        };
        changes.events.iter().filter_map(of).collect()
    }

    /// May the PSP change its mind about a closed refund?
    pub fn may_turn(&self, refund: RefundRef) -> bool {
        let Some(kept) = self.refunds.get(&refund) else { return false };
        let account = &self.payments[&(refund.merchant, refund.payment)];
        account.legs[kept.leg].is_whole() && !kept.status.holds_money()
    }

    /// May a notice of it be taken for one of a refund that was made elsewhere? That one would be of the
    /// payment method, and this model must be able to tell its excess.
    pub fn may_be_mistaken(&self, refund: RefundRef) -> bool {
        let is_primary = self.refunds.get(&refund).is_some_and(|kept| kept.leg == 0);
        is_primary && self.by_hand_max((refund.merchant, refund.payment)).is_some()
    }

    /// What may be given back at the PSP itself, without us: at most so much.
    pub fn by_hand_max(&self, of: Of) -> Option<i64> {
        let account = self.payments.get(&of).filter(|account| !account.is_immediate)?;
        account.legs[0].is_whole().then_some(account.legs[0].captured)
    }

    /// The status of a refund after an event of its payment.
    pub fn status_as_of(&self, refund: RefundRef, seq: u32) -> Option<Status> {
        let account = self.payments.get(&(refund.merchant, refund.payment))?;
        let own = |(at, of, _): &&(u32, RefundId, Status)| *of == refund.refund && *at <= seq;
        account.history.iter().rfind(own).map(|(_, _, status)| *status)
    }

    // --- What clients were told ---

    /// R4: a client was given a final answer for these keys. The same key and meaning must get the
    /// same answer from now on.
    pub fn tell(
        &mut self,
        request: &RefundRequest,
        refund: RefundRef,
        answer: (Option<u32>, Status),
    ) -> Result<(), String> {
        let in_between = matches!(answer.1, Status::Unknown | Status::Dispatched | Status::Ready);
        if in_between && !request.answers_unknown {
            return Ok(());
        }
        self.known.insert(refund);
        let first = request.keys.iter().find(|key| {
            let bound = self.keys.get(&(request.merchant, key.hash));
            bound.is_some_and(|bound| {
                bound.to == BoundTo::Refund(refund) && bound.fingerprint == key.fingerprint
            })
        });
        let kept = first.filter(|key| key.lifetime == Lifetime::Kept && !key.answers_present);
        let Some(key) = kept else { return Ok(()) };
        let bound = self.keys.get_mut(&(request.merchant, key.hash));
        let bound = bound.expect("it was just found");
        match bound.told {
            Some(told) if told != answer => {
                Err(format!("R4: a key was answered {told:?} and then {answer:?} for {refund:?}"))
            }
            _ => {
                bound.told = Some(answer);
                Ok(())
            }
        }
    }
}

fn minor(units: i64) -> Minor {
    Minor::new(units).expect("sums of a leg are within its amount")
}

/// The moves that a refund may make, as the documentation lists them. A first event says that it
/// is to be sent, was given back where no PSP is needed, or what the PSP made of it by itself.
fn may_follow(from: Option<Status>, to: Status) -> bool {
    use Status::{
        Declined, Dispatched, Failed, Pending, Ready, RequiresAction, Reversed, Succeeded, Unknown,
        Voided,
    };
    let Some(from) = from else {
        return matches!(to, Ready | Dispatched | Pending | RequiresAction | Succeeded);
    };
    match from {
        Ready => !matches!(to, Ready | Reversed),
        Dispatched => !matches!(to, Reversed),
        Unknown => {
            matches!(to, Ready | Pending | RequiresAction | Succeeded | Declined | Failed | Voided)
        }
        Pending | RequiresAction => {
            let is_open = matches!(to, Pending | RequiresAction | Unknown);
            is_open || matches!(to, Succeeded | Declined | Failed | Voided)
        }
        Succeeded => to == Reversed,
        // Paid after all, and an alarm.
        Declined | Failed | Voided | Reversed => to == Succeeded,
        _ => false,
    }
}

/// A capture's id that nothing else has.
pub fn capture_id(bits: u128) -> CaptureId {
    CaptureId::new(bits)
}

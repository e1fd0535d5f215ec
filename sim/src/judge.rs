//! What is held against what: answers against the model, our books against the PSP's, the store
//! against what clients were told; and the words in which it is told.

use std::any::Any;
use std::collections::BTreeMap;

use requite_core::decide::{Ask, Refusal};
use requite_core::refund::Status;
use requite_engine::command::{
    Command, CommandError, Notice, Noticed, Obstacle, RefundRef, RefundReply, Reply, Resolved,
};
use requite_engine::psp::{CallKind, Instruction};
use requite_engine::read::{PaymentView, Reads};
use requite_engine::store::SqlReads;
use requite_engine::store::{Changes, Loaded, Store, Wanted};

use crate::desk::{Result_, Ticket};
use crate::disk::Disk;
use crate::model::{Expected, Model, Verdict};
use crate::psp::{Psp, Recourse, State};
use crate::world::{World, sums_agree};

/// R3: once the faults stop and the PSP has decided everything it decides, all is settled within
/// two waits of the longest schedule (six hours each: a look-up, and the call after "nothing is
/// there"), the hour that a clock which was set back may cost, and a minute for a lost call.
pub const SETTLED_WITHIN_MS: i64 = 13 * 3_600_000 + 60_000;

/// Refunds that clients were told of, with their amounts.
#[derive(Clone, Debug, Default)]
pub struct Acked {
    all: BTreeMap<RefundRef, i64>,
    /// Since the last crash.
    fresh: Vec<RefundRef>,
}

impl Acked {
    fn add(&mut self, refund: RefundRef, amount: i64) {
        if self.all.insert(refund, amount).is_none() {
            self.fresh.push(refund);
        }
    }
}

/// R4 as clients see it: a payment as of an event looks the same whenever it is rendered.
#[derive(Default)]
pub struct Shown {
    reads: Option<SqlReads>,
    views: BTreeMap<(RefundRef, u32), PaymentView>,
}

impl Shown {
    pub fn new(reads: Option<SqlReads>) -> Shown {
        Shown { reads, views: BTreeMap::new() }
    }

    fn show(&mut self, refund: RefundRef, seq: u32) -> Result<(), String> {
        let Some(reads) = &self.reads else {
            return Ok(());
        };
        let view = reads.payment(refund.merchant, refund.payment, Some(seq));
        let view = view.map_err(|fault| fault.to_string())?;
        let mut view = view.ok_or("a payment that was answered about cannot be shown")?;
        for refund in &mut view.refunds {
            // What is to come is as it is now, and no face shows it in a replay.
            refund.next_action_at_ms = None;
            refund.sends = 0;
        }
        let first = self.views.entry((refund, seq)).or_insert_with(|| view.clone());
        if *first == view {
            return Ok(());
        }
        Err(format!("R4: as of {seq} it was {first:?} and is {view:?}"))
    }

    fn show_all_again(&mut self) -> Result<(), String> {
        let all: Vec<(RefundRef, u32)> = self.views.keys().copied().collect();
        all.into_iter().try_for_each(|(refund, seq)| self.show(refund, seq))
    }
}

impl World {
    // --- Answers ---

    /// Every answer of this step, and that nobody was forgotten.
    pub(crate) fn hear_answers(
        &mut self,
        commands: &[(Command, Option<u64>)],
    ) -> Result<(), String> {
        let inbox = std::sync::Arc::clone(&self.seat.inbox);
        let mut inbox = inbox.lock().expect("one thread runs a simulation");
        let heard = std::mem::take(&mut inbox.heard);
        let dropped = std::mem::take(&mut inbox.dropped);
        drop(inbox);
        let awaited = self.awaited(&heard);
        for (number, result) in heard {
            let Some(ticket) = self.seat.tickets.remove(&number) else {
                if number == 0 {
                    continue;
                }
                return Err(format!("{number} was answered twice"));
            };
            self.trace.say(|| format!("  {number} <- {}", answer_line(&result)));
            self.check_answer(&ticket, &result, &awaited)
                .map_err(|what| format!("{what}: {number} <- {result:?}, {:?}", ticket.expected))?;
            if let Some(message) = ticket.message {
                let wall_ms = self.now_ms + self.skew_ms;
                let word = self.post.answered(message, &result, wall_ms);
                self.tally.add("notice", word);
            }
        }
        if self.is_dead() {
            return Ok(());
        }
        if let Some(number) = dropped.iter().find(|number| **number != 0) {
            return Err(format!("{number} was dropped without an answer"));
        }
        for number in commands.iter().filter_map(|(_, number)| *number) {
            let Some(ticket) = self.seat.tickets.get(&number) else {
                continue;
            };
            if !ticket.may_wait() {
                return Err(format!("{number} should have been answered: {ticket:?}"));
            }
        }
        Ok(())
    }

    /// How many clients wait for each refund, if that is of interest.
    fn awaited(&self, heard: &[(u64, Result_)]) -> BTreeMap<RefundRef, usize> {
        let mut awaited = BTreeMap::new();
        let is_wanted = heard.iter().any(|(_, result)| result == &Err(CommandError::KeyInProgress));
        if is_wanted {
            for refund in self.seat.tickets.values().filter_map(Ticket::awaits) {
                *awaited.entry(refund).or_insert(0) += 1;
            }
        }
        awaited
    }

    fn check_answer(
        &mut self,
        ticket: &Ticket,
        result: &Result_,
        awaited: &BTreeMap<RefundRef, usize>,
    ) -> Result<(), String> {
        if let Err(CommandError::Store(_) | CommandError::Unstored) = result {
            self.tally.add("answer", "store failed");
            let may_say_so = ticket.has_failed || ticket.may_be_sent_away;
            if let (Some(request), true) = (&ticket.request, may_say_so) {
                self.keep_for_repeat(request);
            }
            if may_say_so {
                self.decide_doubted(ticket, "the store failed");
            }
            return hold(may_say_so, "the store did not fail");
        }
        hold(!ticket.has_failed, "answered before the commit")?;
        let expected = ticket.expected.as_ref().ok_or("answered before it was decided")?;
        if let Some(checked) = self.check_doubt(ticket, (expected, result)) {
            return checked;
        }
        match (expected, result) {
            (Expected::Refund(verdict), _) => self.check_refund(ticket, (verdict, result), awaited),
            (Expected::Registered(should_be), Ok(Reply::Registered(is))) => {
                hold(is.registered == *should_be, "another registration")
            }
            (Expected::Booked { is_replay }, Ok(Reply::Booked(booked))) => {
                hold(booked.is_replay == *is_replay, "I9: a capture or void told otherwise")
            }
            (
                Expected::NotBooked { is_replay },
                Err(CommandError::BookingRefused { is_replay: told, .. }),
            ) => hold(told == is_replay, "I9: a refused capture or void told otherwise"),
            (Expected::KeyReused, Err(CommandError::KeyReused))
            | (Expected::PaymentUnknown, Err(CommandError::PaymentUnknown))
            | (Expected::Ruled, Ok(Reply::Resolved(Resolved::Done(_)))) => Ok(()),
            (Expected::Noticed(should_be), Ok(Reply::Noticed(is))) => {
                hold(should_be == is, "a notice came to something else")
            }
            (Expected::Heard(refund) | Expected::Clarifies(refund), Ok(Reply::Noticed(is))) => {
                let may_be = [
                    Noticed::Settled(*refund),
                    Noticed::Known(*refund),
                    Noticed::Later(Obstacle::NoAnswer),
                ];
                hold(may_be.contains(is), "what was asked about came to something else")?;
                if ticket.doubted.is_some() {
                    self.ask_on(ticket);
                }
                Ok(())
            }
            (Expected::Resolved(should_be), Ok(Reply::Resolved(is))) => {
                hold(should_be == is, "a person's word came to something else")
            }
            _ => Err(String::from("another answer")),
        }
    }

    /// Answers about what is unknown, and to cancellations. `None`: it is another one's.
    fn check_doubt(
        &mut self,
        ticket: &Ticket,
        (expected, result): (&Expected, &Result_),
    ) -> Option<Result<(), String>> {
        Some(match (expected, result) {
            (Expected::Doubtful | Expected::Refund(Verdict::Either(..)), Ok(Reply::Doubtful)) => {
                self.ask_after_what_is_unknown(ticket);
                Ok(())
            }
            (Expected::Noted, Ok(Reply::Noted)) => {
                self.decide_doubted(ticket, "all is known that can be");
                Ok(())
            }
            (Expected::Noticed(Noticed::Later(_)), Ok(Reply::Noticed(is)))
                if ticket.doubted.is_some() =>
            {
                self.ask_on(ticket);
                hold(matches!(is, Noticed::Later(_)), "the call was not made")
            }
            (Expected::NotCancelled(should_be), Ok(Reply::NotCancelled(is))) => {
                hold(should_be == is, "a cancellation came to something else")
            }
            (Expected::Cancelled(refund), Ok(Reply::Refund(reply))) => {
                let is_it = reply.refund == *refund && reply.status == Status::Voided;
                hold(is_it, "it was cancelled before").and_then(|()| self.check_as_of(reply))
            }
            (Expected::CancelAsked(refund), Ok(Reply::Refund(reply))) => {
                self.tally.add("cancellation", reply.status.word());
                let is_it = reply.refund == *refund && !reply.is_replay;
                hold(is_it, "another refund").and_then(|()| self.check_as_of(reply))
            }
            _ => return None,
        })
    }

    fn check_refund(
        &mut self,
        ticket: &Ticket,
        (verdict, result): (&Verdict, &Result_),
        awaited: &BTreeMap<RefundRef, usize>,
    ) -> Result<(), String> {
        self.tally.add("answer", verdict_word(verdict, result));
        if ticket.is_decided_after_doubt {
            let word = if result.is_ok() { "then accepted" } else { "then refused" };
            self.tally.add("doubt", word);
        }
        match (verdict, result) {
            (Verdict::Either(joined, refusal), _) => {
                let refused = Verdict::Refuse(refusal.clone());
                let is_joined = self.check_refund(ticket, (joined, result), awaited);
                is_joined.or_else(|_| self.check_refund(ticket, (&refused, result), awaited))
            }
            (Verdict::Accept, Ok(Reply::Refund(reply))) => {
                hold(Some(reply.refund) == ticket.awaits(), "I9: another refund")?;
                hold(!reply.is_replay, "a first answer is no replay")?;
                self.check_told(ticket, reply)
            }
            (Verdict::Repeat(refund), Ok(Reply::Refund(reply))) => {
                hold(reply.refund == *refund, "I9: the key's refund is another")?;
                hold(reply.is_replay, "a repeat is a replay")?;
                self.check_told(ticket, reply)
            }
            (Verdict::Repeat(refund), Err(CommandError::KeyInProgress)) => {
                let others = awaited.get(refund).copied().unwrap_or(0);
                hold(others > 1, "nobody else waits for this key's refund")
            }
            (Verdict::Refuse(should_be), Err(CommandError::Refused { refusal, is_replay })) => {
                self.tally.add("refusal", refusal_word(refusal));
                hold(refusal == should_be && !is_replay, "another refusal")
            }
            (Verdict::RepeatRefusal(first), Err(CommandError::Refused { refusal, is_replay })) => {
                hold(refusal == first && *is_replay, "another refusal than the first time")
            }
            (Verdict::KeyReused, Err(CommandError::KeyReused))
            | (Verdict::PaymentUnknown, Err(CommandError::PaymentUnknown)) => Ok(()),
            _ => Err(String::from("I9 or the acceptance rules: another answer")),
        }
    }

    /// What a client is told of a refund is true as of the event named, and stays so.
    fn check_told(&mut self, ticket: &Ticket, reply: &RefundReply) -> Result<(), String> {
        let kept = self.model.refunds.get(&reply.refund);
        let kept = kept.ok_or("R1: a refund that is not there")?;
        self.acked.add(reply.refund, kept.amount);
        self.check_as_of(reply)?;
        let request = ticket.request.as_ref().expect("refunds are asked for by requests");
        self.model.tell(request, reply.refund, (reply.as_of, reply.status))
    }

    fn check_as_of(&mut self, reply: &RefundReply) -> Result<(), String> {
        let Some(seq) = reply.as_of else { return Ok(()) };
        let status = self.model.status_as_of(reply.refund, seq);
        hold(status == Some(reply.status), "its history has another status")?;
        self.shown.show(reply.refund, seq)
    }

    // --- Books ---

    /// What the PSP noticed about its own books.
    pub(crate) fn check_psp(&self) -> Result<(), String> {
        match self.psp.violations.first() {
            None => Ok(()),
            Some(what) => Err(what.clone()),
        }
    }

    /// R2 and I7: our books against the PSP's. `is_final`: all must have come to its end (R3).
    pub(crate) fn check_books(&self, is_final: bool) -> Result<(), String> {
        self.check_psp()?;
        for execution in &self.psp.executions {
            let is_known = self.model.refunds.contains_key(&execution.refund);
            let may_come = execution.is_external && !(is_final && execution.counts());
            hold(is_known || may_come, "R2: the PSP made a refund that we do not have")?;
        }
        if is_final {
            sums_agree(&self.model, &self.psp)?;
        }
        for (refund, kept) in &self.model.refunds {
            let of = (refund.merchant, refund.payment);
            if self.mixed.contains(&of) {
                continue;
            }
            if self.model.payments[&of].is_immediate {
                hold(kept.status == Status::Succeeded, "no PSP, no waiting")?;
                continue;
            }
            // What a PSP turned about is news that it tells until it is on our books.
            let is_told = |turned: bool| !turned || is_final || kept.status == Status::Succeeded;
            let states: Vec<(State, bool)> = self
                .psp
                .executions_of(*refund)
                .filter(|execution| is_told(execution.is_turned))
                .map(|execution| (execution.state, execution.is_for_ever))
                .collect();
            agrees(kept.status, &states, is_final)
                .map_err(|what| format!("{what}: {refund:?} is {kept:?}, at the PSP {states:?}"))?;
        }
        Ok(())
    }

    /// I10, I11, I12, I16 and the rest that can be read back from the store.
    pub(crate) fn audit(&mut self) -> Result<(), String> {
        self.tally.add("check", "audits");
        let report = self.side.audit()?;
        match report.violations.first() {
            None => Ok(()),
            Some(first) => Err(format!("{}: {first:?}", first.invariant)),
        }
    }

    /// The end: everything in the store is as the model has it, and everything that a client was
    /// told of is there.
    pub(crate) fn check_store(&mut self) -> Result<(), String> {
        self.audit()?;
        let refunds: Vec<RefundRef> = self.model.refunds.keys().copied().collect();
        let loaded = read_refunds(&mut self.side, refunds.iter().copied());
        for refund in refunds {
            let kept = &self.model.refunds[&refund];
            let record = loaded.refunds.get(&refund);
            let is = record.map(|record| (record.refund.amount.units(), record.refund.status));
            if is != Some((kept.amount, kept.status)) {
                return Err(format!("R1: {refund:?} should be {kept:?}, the store has {is:?}"));
            }
        }
        self.shown.show_all_again()?;
        self.acked.fresh = self.acked.all.keys().copied().collect();
        acked_are_there(&mut self.acked, &mut self.side)
    }
}

/// Do our status and the PSP's books tell the same?
fn agrees(status: Status, states: &[(State, bool)], is_final: bool) -> Result<(), String> {
    let has = |state| states.iter().any(|(of, _)| *of == state);
    let counting = states
        .iter()
        .filter(|(state, _)| matches!(state, State::Paid | State::Pending | State::Action));
    let counting = counting.count();
    hold(counting <= 1, "I7: the PSP has it twice")?;
    match status {
        Status::Succeeded if is_final => hold(has(State::Paid), "R3: succeeded, and not paid"),
        Status::Succeeded => {
            let is_told = has(State::Paid) || has(State::Bounced);
            hold(is_told, "R2: succeeded, and never paid")
        }
        Status::Declined | Status::Failed | Status::Voided | Status::Reversed => {
            hold(counting == 0, "R2: our money is free, and the PSP has moved it")
        }
        _ if is_final => {
            let is_for_ever = states.iter().any(|(_, is_for_ever)| *is_for_ever);
            hold(is_for_ever, "R3: never settled")
        }
        _ => Ok(()),
    }
}

/// Open refunds that must still come to an end: all but those that the PSP leaves open for ever.
pub fn unsettled(model: &Model, psp: &Psp) -> Vec<RefundRef> {
    let stays = |refund: &RefundRef| {
        let status = model.refunds[refund].status;
        let is_known = matches!(status, Status::Pending | Status::RequiresAction);
        // What cannot be asked may keep to itself for ever that it has it.
        let may_say = is_known || psp.policy.recourse == Recourse::Repeat;
        may_say && psp.executions_of(*refund).any(|execution| execution.is_for_ever)
    };
    model.open.iter().copied().filter(|refund| !stays(refund)).collect()
}

/// R1: whatever a client was told of before the crash is there after it.
pub fn acked_are_there(acked: &mut Acked, disk: &mut Disk) -> Result<(), String> {
    let fresh = std::mem::take(&mut acked.fresh);
    let loaded = read_refunds(disk, fresh.iter().copied());
    for refund in fresh {
        let amount = acked.all.get(&refund).copied();
        let record = loaded.refunds.get(&refund);
        let is = record.map(|record| record.refund.amount.units());
        if is != amount {
            return Err(format!("R1: {refund:?} was {amount:?}, after recovery it is {is:?}"));
        }
    }
    Ok(())
}

fn read_refunds(disk: &mut Disk, refunds: impl Iterator<Item = RefundRef>) -> Loaded {
    let wanted = Wanted { refunds: refunds.collect(), ..Wanted::default() };
    let mut read = Loaded::default();
    let done = disk.transact(&wanted, &mut |loaded| {
        read = loaded;
        Changes::default()
    });
    done.expect("the store can be read");
    read
}

fn hold(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

// --- Words ---

/// For a planted bug: the calls of a batch that was not committed.
pub fn calls_of(changes: &Changes) -> Vec<Instruction> {
    let sends = changes.attempts.iter().filter(|attempt| attempt.kind == CallKind::Send);
    let call = |attempt: &requite_engine::store::NewAttempt| {
        let new = changes.new_refunds.iter().find(|new| new.key == attempt.key)?;
        let of = (attempt.key.merchant, attempt.key.payment);
        let book = changes.books.iter().find(|b| (b.merchant, b.book.payment.id()) == of)?;
        Some(Instruction {
            kind: attempt.kind,
            refund: attempt.key,
            attempt: attempt.attempt,
            call_no: attempt.call_no,
            amount: new.record.refund.amount,
            currency: book.book.payment.currency(),
            connector: book.book.connector.clone(),
            connector_payment: None,
            connector_settings: None,
            psp_refund: None,
            reason: None,
            age_ms: 0,
            prepared_at_ms: attempt.at_ms,
        })
    };
    sends.filter_map(call).collect()
}

/// The last eight digits: enough to follow a refund through a trace.
pub fn short(refund: RefundRef) -> String {
    format!("{:08x}", refund.refund.bits() & 0xFFFF_FFFF)
}

/// One command in a trace.
pub fn line(now_ms: i64, command: &Command, number: Option<u64>) -> String {
    let what = match command {
        Command::Register(new) => format!("register {:08x}", new.payment.bits() & 0xFFFF_FFFF),
        Command::Book(request) => format!("{:?} {:?}", request.booking, request.amount),
        Command::Amend(_) => String::from("amend"),
        Command::Refund(request) | Command::Propose(request) => {
            let is_proposed = matches!(command, Command::Propose(_));
            let what = if is_proposed { "propose" } else { "refund" };
            let refund = request.ask.refund.bits() & 0xFFFF_FFFF;
            let of = request.payment.bits() & 0xFFFF_FFFF;
            let keys = request
                .keys
                .iter()
                .map(|key| format!("{:?}:{:02x}{:02x}", key.lifetime, key.hash[0], key.hash[1]));
            let keys: Vec<String> = keys.collect();
            let Ask { amount, target, .. } = &request.ask;
            let face = &request.details.face;
            format!("{what} {refund:08x} of {of:08x} {amount:?} {target:?} {face} {keys:?}")
        }
        Command::Settle { refund, finding } => {
            let outcome = finding.outcome.word();
            format!("settle {} #{} {outcome}", short(*refund), finding.attempt)
        }
        Command::Wake { refund, is_restart, .. } => {
            format!("wake {}{}", short(*refund), if *is_restart { " (restart)" } else { "" })
        }
        Command::Clarify { payment, .. } => {
            format!("clarify {:08x}", payment.bits() & 0xFFFF_FFFF)
        }
        Command::Notice(notice) => {
            let Notice { mark, amount, outcome, said_at_ms, .. } = notice.as_ref();
            format!("notice {mark:?} {} {outcome:?} said {said_at_ms:?}", amount.units())
        }
        Command::Resolve(request) => {
            format!("resolve {} {}", short(request.refund), request.ruling.word())
        }
        Command::Cancel(request) => format!("cancel {}", short(request.refund)),
        Command::Expire { refund } => format!("expire {}", short(*refund)),
        Command::Learn { refund } => format!("learn {}", short(*refund)),
    };
    let number = number.map_or(String::new(), |number| format!("{number} "));
    format!("{now_ms} {number}{what}")
}

fn answer_line(result: &Result_) -> String {
    match result {
        Ok(Reply::Refund(reply)) => format!(
            "{} {} as of {:?}{}",
            short(reply.refund),
            reply.status.word(),
            reply.as_of,
            if reply.is_replay { " (replay)" } else { "" }
        ),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("{error}"),
    }
}

pub fn word(expected: &Expected) -> &'static str {
    match expected {
        Expected::Refund(Verdict::Accept) => "refund accepted",
        Expected::Refund(Verdict::Refuse(_)) => "refund refused",
        Expected::Refund(_) => "refund by a used key",
        Expected::Registered(_) => "register",
        Expected::Booked { is_replay: false } => "capture or void",
        Expected::Booked { is_replay: true } => "capture or void, replayed",
        Expected::NotBooked { .. } => "capture or void refused",
        Expected::KeyReused => "capture or void, key reused",
        Expected::PaymentUnknown => "capture or void, no payment",
        Expected::Noticed(Noticed::Odd(_)) => "notice, odd",
        Expected::Noticed(_) => "notice",
        Expected::Heard(_) => "notice, asked about",
        Expected::Resolved(_) => "person's word, refused",
        Expected::Ruled => "person's word",
        Expected::Doubtful => "refund in doubt",
        Expected::Clarifies(_) => "what is unknown, asked after",
        Expected::NotCancelled(_) => "cancellation refused",
        Expected::Cancelled(_) => "cancellation, done before",
        Expected::CancelAsked(_) => "cancellation",
        Expected::Noted => "news",
    }
}

fn verdict_word(verdict: &Verdict, result: &Result_) -> &'static str {
    match (verdict, result) {
        (Verdict::Repeat(_), Err(_)) => "key in progress",
        (Verdict::Repeat(_), Ok(_)) => "the key's refund",
        (Verdict::Accept, _) => "refund",
        (Verdict::Either(..), _) => "the key's refund, or a refusal",
        (Verdict::Refuse(_), _) => "refusal",
        (Verdict::RepeatRefusal(_), _) => "the key's refusal",
        (Verdict::KeyReused, _) => "key reused",
        (Verdict::PaymentUnknown, _) => "no such payment",
    }
}

fn refusal_word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::LegUnknown => "leg unknown",
        Refusal::NotCaptured => "not captured",
        Refusal::Cancelled => "cancelled",
        Refusal::NothingLeft => "nothing left",
        Refusal::CurrencyDiffers { .. } => "currency differs",
        Refusal::NotPositive => "not positive",
        Refusal::Fraction { .. } => "fraction",
        Refusal::ExceedsLeft { .. } => "exceeds left",
        Refusal::ReasonUnknown => "reason unknown",
    }
}

/// What a panic said.
pub fn text(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| String::from("without words"))
}

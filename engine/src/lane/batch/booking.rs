//! What happens to a payment besides refunds: captures, releases of what was authorised and never
//! taken, extensions of the hold, and amendments of what it is called.

use requite_core::decide::{self, BookingRefusal};
use requite_core::id::CaptureId;
use requite_core::journal::Entry;
use requite_core::money::Minor;

use super::{Batch, Happening};
use crate::command::{Amendment, Booked, Booking, BookingRequest, CommandError, Reply};
use crate::event::Kind;
use crate::key::{Key, KeyOutcome, KeyRecord, Lifetime, booking_refusal_text};
use crate::psp::BookingAsked;
use crate::read::OperationKind;
use crate::store::{NewAmendment, NewCapture, NewOperation, NewRelease};

/// A booking that the rules allow.
struct Allowed {
    amount: Minor,
    /// The capture's journal entry.
    entry: Option<Entry>,
}

impl Batch<'_> {
    pub(super) fn book_operation(
        &mut self,
        request: &BookingRequest,
    ) -> Result<Reply, CommandError> {
        let of = (request.merchant, request.payment);
        if !self.loaded.books.contains_key(&of) {
            return Err(CommandError::PaymentUnknown);
        }
        let at = (request.merchant, request.at_ms);
        if let Some((key, outcome)) = self.key_outcome(at, &request.keys)? {
            return booked_before(key, outcome);
        }
        match self.allowed(request) {
            Ok(allowed) => {
                self.make(request, &allowed);
                let seq = self.seq(of);
                self.keep_outcome(at, &request.keys, KeyOutcome::Booked { payment: of.1, seq });
                let payment = request.payment;
                let booked = Booked { payment, seq, as_of: Some(seq), is_replay: false };
                Ok(Reply::Booked(booked))
            }
            Err(refusal) => {
                if booking_refusal_text(&refusal).is_some() {
                    self.keep_outcome(at, &request.keys, KeyOutcome::BookingRefused(refusal));
                }
                Err(CommandError::BookingRefused { refusal, is_replay: false })
            }
        }
    }

    fn allowed(&self, request: &BookingRequest) -> Result<Allowed, BookingRefusal> {
        let book = self.loaded.books.get(&(request.merchant, request.payment));
        let payment = &book.expect("the caller checked that it is loaded").payment;
        Ok(match request.booking {
            Booking::Capture { .. } => {
                let id = CaptureId::new(request.id);
                let entry = decide::capture(payment, id, request.amount)?;
                Allowed { amount: entry.amount, entry: Some(entry) }
            }
            Booking::Void => {
                Allowed { amount: decide::release(payment, request.amount)?, entry: None }
            }
            Booking::Extension => {
                Allowed { amount: decide::extend(payment, request.amount)?, entry: None }
            }
        })
    }

    /// From here on only the connector may say no, and that is written down as well.
    fn make(&mut self, request: &BookingRequest, allowed: &Allowed) {
        let of = (request.merchant, request.payment);
        let book = self.loaded.books.get(&of).expect("the caller checked that it is loaded");
        let amount = allowed.amount;
        let decline = self.connectors.decline(&BookingAsked {
            connector: &book.connector,
            settings: book.connector_settings.as_deref(),
            booking: request.booking,
            amount,
            face: &request.trace.face,
        });
        let kind = match (&decline, request.booking) {
            (Some(_), _) => Kind::Declined,
            (None, Booking::Capture { .. }) => Kind::Captured,
            (None, Booking::Void) => Kind::Released,
            (None, Booking::Extension) => Kind::Extended,
        };
        match kind {
            Kind::Captured => self.capture(request, allowed),
            Kind::Released => self.release(request, request.id, amount),
            _ => {
                let fault = decline.clone();
                let happening = Happening { fault, ..happening(request, kind, amount) };
                self.record(of, happening, &[], None);
            }
        }
        let reference =
            self.reference(request.trace.wants_reference, request.merchant, request.at_ms);
        self.changes.operations.push(NewOperation {
            merchant: request.merchant,
            payment: request.payment,
            seq: self.seq(of),
            kind: operation_kind(request.booking),
            is_final: matches!(request.booking, Booking::Capture { is_final: true }),
            trace: request.trace.clone(),
            reference,
        });
    }

    fn capture(&mut self, request: &BookingRequest, allowed: &Allowed) {
        let of = (request.merchant, request.payment);
        let id = CaptureId::new(request.id);
        let book = self.book(of).expect("the caller checked that it is loaded");
        let leg = book.payment.primary().id();
        book.payment.open_capture(leg, id).expect("core counted the captures");
        let entries: Vec<Entry> = allowed.entry.into_iter().collect();
        if request.booking == (Booking::Capture { is_final: true }) {
            // The rest first, so that the capture's event is the newest and shows both.
            let left = book.payment.primary().capturable();
            let rest = left.checked_sub(allowed.amount).expect("core compared the two");
            if !rest.is_zero() {
                self.release(request, request.id, rest);
            }
        }
        self.record(of, happening(request, Kind::Captured, allowed.amount), &entries, None);
        let capture = NewCapture { id, leg, seq: self.seq(of), at_ms: request.at_ms };
        self.touched.entry(of).or_default().new_captures.push(capture);
    }

    fn release(&mut self, request: &BookingRequest, id: u128, amount: Minor) {
        let of = (request.merchant, request.payment);
        let book = self.book(of).expect("the caller checked that it is loaded");
        let leg = book.payment.primary().id();
        book.payment.release(leg, amount).expect("core compared it with what is capturable");
        self.record(of, happening(request, Kind::Released, amount), &[], None);
        let seq = self.seq(of);
        let release = NewRelease { id, leg, amount, seq, at_ms: request.at_ms };
        self.touched.entry(of).or_default().new_releases.push(release);
    }

    pub(super) fn amend(&mut self, request: &Amendment) -> Result<Reply, CommandError> {
        let Amendment { merchant, payment, actor, at_ms, .. } = request.clone();
        let of = (merchant, payment);
        if !self.loaded.books.contains_key(&of) {
            return Err(CommandError::PaymentUnknown);
        }
        if let Some(Some(name)) = &request.external_identifier {
            let named = (merchant, name.clone());
            let owner = *self.loaded.external_identifiers.entry(named).or_insert(payment);
            if owner != payment {
                return Ok(Reply::NameTaken(owner));
            }
        }
        let (kind, subject, amount) = (Kind::Amended, payment.bits(), Minor::ZERO);
        let amended = Happening { kind, subject, amount, fault: None, actor, at_ms };
        self.record(of, amended, &[], None);
        let seq = self.seq(of);
        if let (Some(name), Some(book)) = (&request.external_identifier, self.book(of)) {
            book.external_identifier.clone_from(name);
        }
        self.changes.amendments.push(NewAmendment {
            merchant,
            payment,
            seq,
            external_identifier: request.external_identifier.clone(),
            metadata: request.metadata.clone(),
        });
        Ok(Reply::Booked(Booked { payment, seq, as_of: Some(seq), is_replay: false }))
    }

    /// What the first of these keys that is bound stands for.
    pub(super) fn key_outcome<'k>(
        &self,
        (merchant, at_ms): (requite_core::id::MerchantId, i64),
        keys: &'k [Key],
    ) -> Result<Option<(&'k Key, KeyOutcome)>, CommandError> {
        for key in keys {
            let record = self.recorded((merchant, key.hash));
            let bound = record.filter(|record| key.binds(record, (None, false), at_ms));
            if let Some(record) = bound {
                let is_same = record.fingerprint == key.fingerprint;
                let outcome = record.outcome.clone();
                return if is_same {
                    Ok(Some((key, outcome)))
                } else {
                    Err(CommandError::KeyReused)
                };
            }
        }
        Ok(None)
    }

    /// What these keys stand for from now on, where they live longer than a moment.
    pub(super) fn keep_outcome(
        &mut self,
        (merchant, at_ms): (requite_core::id::MerchantId, i64),
        keys: &[Key],
        outcome: KeyOutcome,
    ) {
        for key in keys.iter().filter(|key| key.lifetime == Lifetime::Kept) {
            let fingerprint = key.fingerprint;
            let record = KeyRecord { fingerprint, at_ms, outcome: outcome.clone() };
            self.keys.insert((merchant, key.hash), record);
        }
    }
}

fn booked_before(key: &Key, outcome: KeyOutcome) -> Result<Reply, CommandError> {
    match outcome {
        KeyOutcome::Booked { payment, seq } => {
            let as_of = (!key.answers_present).then_some(seq);
            Ok(Reply::Booked(Booked { payment, seq, as_of, is_replay: true }))
        }
        KeyOutcome::BookingRefused(refusal) => {
            Err(CommandError::BookingRefused { refusal, is_replay: true })
        }
        KeyOutcome::Refund { .. } | KeyOutcome::Refused(_) | KeyOutcome::Present { .. } => {
            Err(CommandError::KeyReused)
        }
    }
}

fn happening(request: &BookingRequest, kind: Kind, amount: Minor) -> Happening {
    Happening {
        kind,
        subject: request.id,
        amount,
        fault: None,
        actor: request.actor.clone(),
        at_ms: request.at_ms,
    }
}

fn operation_kind(booking: Booking) -> OperationKind {
    match booking {
        Booking::Capture { .. } => OperationKind::Capture,
        Booking::Void => OperationKind::Void,
        Booking::Extension => OperationKind::Extension,
    }
}

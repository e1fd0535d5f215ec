//! Putting a payment on the books.

use requite_core::journal::{Account, Entry};
use requite_core::money::Minor;
use requite_core::payment::{Leg, LegKind, Payment};

use super::{Batch, Happening, Touched};
use crate::command::{CommandError, Registered, RegisteredReply, Registration, Reply};
use crate::event::Kind;
use crate::key::KeyOutcome;
use crate::read::OperationKind;
use crate::store::{Book, NewCapture, NewOperation};

impl Batch<'_> {
    /// Registering the same payment twice is registering it once.
    ///
    /// # Panics
    /// When the registration breaks what [`Payment`] promises; whoever made it has checked that
    /// with [`is_sound`].
    pub(super) fn register(&mut self, new: &Registration) -> Result<Reply, CommandError> {
        let at = (new.merchant, new.at_ms);
        if let Some((_, outcome)) = self.key_outcome(at, &new.keys)? {
            let (registered, seq) = match outcome {
                KeyOutcome::Booked { payment, seq } => (Registered::Created(payment), seq),
                KeyOutcome::Present { payment, seq } => (Registered::Present(payment), seq),
                _ => return Err(CommandError::KeyReused),
            };
            let reply = RegisteredReply { registered, as_of: Some(seq), is_replay: true };
            return Ok(Reply::Registered(reply));
        }
        let registered = match self.known(new) {
            Some(known) => known,
            None => self.create(new),
        };
        let told = match registered {
            Registered::Created(payment) => {
                let seq = self.seq((new.merchant, payment));
                Some((KeyOutcome::Booked { payment, seq }, seq))
            }
            Registered::Present(payment) => {
                let seq = self.seq((new.merchant, payment));
                Some((KeyOutcome::Present { payment, seq }, seq))
            }
            Registered::Differs(_) => None,
        };
        let as_of = told.as_ref().map(|(_, seq)| *seq);
        if let Some((outcome, _)) = told {
            self.keep_outcome(at, &new.keys, outcome);
        }
        Ok(Reply::Registered(RegisteredReply { registered, as_of, is_replay: false }))
    }

    fn create(&mut self, new: &Registration) -> Registered {
        let of = (new.merchant, new.payment);
        let payment = empty_payment(new).expect("is_sound was asked before");
        self.loaded.books.insert(
            of,
            Book {
                payment,
                seq: 0,
                hash: [0; 32],
                calls: 0,
                updated_at_ms: new.created_at_ms,
                newest_refund: None,
                connector: new.connector.clone(),
                connector_payment: new.connector_payment.clone(),
                connector_settings: new.connector_settings.clone(),
                external_identifier: new.external_identifier.clone(),
                order: new.order.clone(),
                registration_fingerprint: new.fingerprint,
            },
        );
        if let Some(text) = &new.external_identifier {
            let named = (new.merchant, text.clone());
            self.loaded.external_identifiers.insert(named, new.payment);
        }
        self.touched.insert(of, Touched { is_new: true, ..Touched::default() });
        let happening = |kind, subject, amount| Happening {
            kind,
            subject,
            amount,
            fault: None,
            actor: new.actor.clone(),
            at_ms: new.at_ms,
        };
        let registered = happening(Kind::Registered, new.payment.bits(), new.primary.amount);
        self.record(of, Happening { fault: new.decline.clone(), ..registered }, &[], None);
        self.trace_registration(new);
        for (leg, capture, amount) in captures(new) {
            let book = self.loaded.books.get_mut(&of).expect("it was just inserted");
            book.payment.open_capture(leg, capture).expect("is_sound counted the captures");
            let entry = Entry::new(capture, Account::PspClearing, Account::Refundable, amount);
            let captured = happening(Kind::Captured, capture.bits(), amount);
            self.record(of, captured, &[entry], None);
            let capture =
                NewCapture { id: capture, leg, seq: self.seq(of), at_ms: new.created_at_ms };
            self.touched.entry(of).or_default().new_captures.push(capture);
        }
        let book = self.loaded.books.get_mut(&of).expect("it was just inserted");
        book.updated_at_ms = new.created_at_ms;
        self.changes.registered.push(new.clone());
        Registered::Created(new.payment)
    }

    fn trace_registration(&mut self, new: &Registration) {
        let Some(trace) = &new.trace else {
            return;
        };
        let reference = self.reference(trace.wants_reference, new.merchant, new.at_ms);
        self.changes.operations.push(NewOperation {
            merchant: new.merchant,
            payment: new.payment,
            seq: self.seq((new.merchant, new.payment)),
            kind: OperationKind::Registration,
            is_final: false,
            trace: trace.clone(),
            reference,
        });
    }

    fn known(&self, new: &Registration) -> Option<Registered> {
        let named = new.external_identifier.clone().map(|text| (new.merchant, text));
        let by_name = named.and_then(|named| self.loaded.external_identifiers.get(&named));
        let id = by_name.copied().unwrap_or(new.payment);
        let book = self.loaded.books.get(&(new.merchant, id))?;
        Some(if book.registration_fingerprint == new.fingerprint {
            Registered::Present(id)
        } else {
            Registered::Differs(id)
        })
    }
}

type CaptureParts = (requite_core::id::LegId, requite_core::id::CaptureId, Minor);

/// The payment method's captures, and one for each gift card: a redemption takes at once.
fn captures(new: &Registration) -> impl Iterator<Item = CaptureParts> + '_ {
    let primary = new.captures.iter().map(|&(id, amount)| (new.primary.id, id, amount));
    let cards = new.gift_cards.iter().map(|card| {
        let id = requite_core::id::CaptureId::new(card.id.bits());
        (card.id, id, card.amount)
    });
    primary.chain(cards)
}

fn empty_payment(new: &Registration) -> Option<Payment> {
    let leg = |kind, id, amount| Leg::new(id, kind, amount, Minor::ZERO, Vec::new());
    let primary = leg(LegKind::PaymentMethod, new.primary.id, new.primary.amount)?;
    let cards = new.gift_cards.iter().map(|card| leg(LegKind::GiftCard, card.id, card.amount));
    let legs: Option<Vec<Leg>> = std::iter::once(Some(primary)).chain(cards).collect();
    let is_off = new.cancelled_at_ms.is_some() || new.decline.is_some();
    Payment::new(new.payment, new.currency, is_off, legs?)
}

/// See [`Registration::is_sound`].
pub(crate) fn is_sound(new: &Registration) -> bool {
    let Some(mut payment) = empty_payment(new) else {
        return false;
    };
    let mut ids: Vec<u128> = captures(new).map(|(_, id, _)| id.bits()).collect();
    ids.sort_unstable();
    let has_twins = ids.windows(2).any(|pair| pair.first() == pair.last());
    let is_positive = captures(new).all(|(_, _, amount)| !amount.is_zero());
    let is_declined_and_taken = new.decline.is_some() && !ids.is_empty();
    if has_twins || !is_positive || is_declined_and_taken {
        return false;
    }
    captures(new).all(|(leg, id, amount)| {
        let entry = Entry::new(id, Account::PspClearing, Account::Refundable, amount);
        payment.open_capture(leg, id).is_some() && payment.post(&[entry]).is_ok()
    })
}

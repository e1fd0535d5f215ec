//! Captures, and releases of what was authorised and never taken.

use requite_core::decide;

use super::{Batch, Happening};
use crate::command::{CaptureRequest, CommandError, Reply, VoidRequest};
use crate::event::Kind;
use crate::store::{NewCapture, NewRelease};

impl Batch<'_> {
    pub(super) fn capture(&mut self, request: &CaptureRequest) -> Result<Reply, CommandError> {
        let of = (request.merchant, request.payment);
        let book = self.book(of).ok_or(CommandError::PaymentUnknown)?;
        let entry = decide::capture(&book.payment, request.capture, request.amount)
            .map_err(CommandError::CaptureRefused)?;
        let leg = book.payment.primary().id();
        book.payment.open_capture(leg, request.capture).expect("core counted the captures");
        let happening = Happening {
            kind: Kind::Captured,
            subject: request.capture.bits(),
            amount: entry.amount,
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        self.record(of, happening, &[entry], None);
        let seq = self.seq(of);
        let capture = NewCapture { id: request.capture, leg, seq, at_ms: request.at_ms };
        self.touched.entry(of).or_default().new_captures.push(capture);
        Ok(Reply::Booked { payment: request.payment, seq })
    }

    pub(super) fn void(&mut self, request: &VoidRequest) -> Result<Reply, CommandError> {
        let of = (request.merchant, request.payment);
        let book = self.book(of).ok_or(CommandError::PaymentUnknown)?;
        let amount =
            decide::release(&book.payment, request.amount).map_err(CommandError::CaptureRefused)?;
        let leg = book.payment.primary().id();
        book.payment.release(leg, amount).expect("core compared it with what is capturable");
        let happening = Happening {
            kind: Kind::Released,
            subject: request.void.bits(),
            amount,
            actor: request.actor.clone(),
            at_ms: request.at_ms,
        };
        self.record(of, happening, &[], None);
        let seq = self.seq(of);
        let id = request.void.bits();
        let release = NewRelease { id, leg, amount, seq, at_ms: request.at_ms };
        self.touched.entry(of).or_default().new_releases.push(release);
        Ok(Reply::Booked { payment: request.payment, seq })
    }
}

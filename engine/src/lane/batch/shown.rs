//! What answers show of refunds that somebody waits for. The lane has decided every event of such a refund,
//! so it tells what [`crate::read::Reads::refund_as_of`] would find, and nobody has to read it back.
//!
//! Another node may have gone on with a refund whose call is under way here. What is kept of it between two
//! batches counts only where the refund's row is as it was; otherwise its answer is read back.

use std::collections::HashMap;
use std::sync::Arc;

use requite_core::refund::{Refund, Status};

use super::Batch;
use crate::command::{Reason, RefundRef, RefundRequest};
use crate::read::{RefundOfPayment, RefundView};

/// Refunds that are waited for, as of their newest event.
pub(in crate::lane) type Shown = HashMap<RefundRef, Arc<RefundOfPayment>>;

impl Batch<'_> {
    /// A refund that is about to have its first event. Not kept where more than the lane has would be
    /// shown: a reason of the merchant's own.
    pub(super) fn show(
        &mut self,
        request: &RefundRequest,
        refund: &Refund,
        reference: Option<(i64, u32)>,
    ) {
        let (merchant, payment) = (request.merchant, request.payment);
        let book = self.loaded.books.get(&(merchant, payment));
        let book = book.expect("the caller checked that it is loaded");
        let leg = book.payment.leg(refund.leg);
        let (Some(leg), Reason::None) = (leg, request.details.reason) else {
            return;
        };
        let (details, at_ms) = (&request.details, request.ask.at_ms);
        let view = RefundView {
            merchant,
            id: refund.id,
            payment,
            leg: refund.leg,
            leg_kind: leg.kind(),
            currency: book.payment.currency(),
            amount: refund.amount,
            status: refund.status,
            connector: book.connector.clone(),
            psp_refund: None,
            fault: None,
            face: details.face.clone(),
            actor: details.actor.clone(),
            reason_code: details.reason_code.clone(),
            reason_text: details.reason_text.clone(),
            reason: None,
            note: details.note.clone(),
            external_identifier: details.external_identifier.clone(),
            given_id: details.given_id,
            key_text: details.key_text.clone(),
            metadata: details.metadata.clone(),
            reference,
            asked_seq: book.seq.saturating_add(1),
            asked_at_ms: at_ms,
            sent_at_ms: None,
            unknown_at_ms: None,
            settled_at_ms: None,
            updated_at_ms: at_ms,
            next_action_at_ms: None,
            sends: 0,
        };
        let shown = RefundOfPayment { refund: view, external_identifier: None, order: None };
        let key = RefundRef { merchant, payment, refund: refund.id };
        self.shown.insert(key, Arc::new(shown));
    }

    /// Takes up what was kept of a refund, before it changes or is told of.
    pub(super) fn recall(&mut self, key: RefundRef) {
        let (Some(kept), Some(record)) = (self.kept.get(&key), self.loaded.refunds.get(&key))
        else {
            return;
        };
        let now = &record.refund;
        // Each time that it is sent counts: it cannot have been anything else in between.
        let is_same = now.status == Status::Dispatched
            && kept.refund.status == now.status
            && kept.refund.sends == now.sends
            && kept.refund.psp_refund == now.psp_refund;
        if is_same {
            self.shown.entry(key).or_insert_with(|| Arc::clone(kept));
        }
    }

    /// The refund as of its payment's newest event, where all of it is here.
    pub(super) fn told(&mut self, key: RefundRef) -> Option<Arc<RefundOfPayment>> {
        let book = self.loaded.books.get(&(key.merchant, key.payment))?;
        let shown = self.shown.get_mut(&key)?;
        let names = Arc::make_mut(shown);
        names.external_identifier.clone_from(&book.external_identifier);
        names.order.clone_from(&book.order);
        Some(Arc::clone(shown))
    }
}

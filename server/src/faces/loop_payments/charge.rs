//! How this dialect names payments: charges, payments, refunds, and the PSP's own ids.

use requite_core::id::{
    MerchantId, PaymentId, RefundId, parse_prefixed, parse_uuid, prefixed_text,
};
use requite_engine::read::PaymentView;

use super::failure::Failure;
use crate::desk::Desk;

/// A payment as a caller named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub payment: PaymentId,
    /// As the caller wrote it when that is a registered name, else in our spelling.
    pub charge: String,
}

/// The payment that `text` names. Our own spellings come before registered names.
pub(super) async fn find(
    desk: &Desk,
    merchant: MerchantId,
    text: String,
) -> Result<Option<Named>, Failure> {
    let found = desk.glance(move |reads| {
        if let Some(id) = decode(&text)
            && reads.has_payment(merchant, id)?
        {
            let charge = charge_id(id);
            return Ok(Some(Named { payment: id, charge }));
        }
        let named = reads.payment_named(merchant, &text)?;
        Ok(named.map(|payment| Named { payment, charge: text }))
    });
    found.await.map_err(Failure::Read)
}

/// The payment that was registered with `text` as one of its names.
pub(super) async fn registered(
    desk: &Desk,
    merchant: MerchantId,
    text: String,
) -> Result<Option<Named>, Failure> {
    let alias = text.clone();
    let found = desk.glance(move |reads| reads.payment_named(merchant, &alias)).await;
    let found = found.map_err(Failure::Read)?;
    Ok(found.map(|payment| Named { payment, charge: text }))
}

/// Reads our spellings of a payment.
pub(super) fn decode(text: &str) -> Option<PaymentId> {
    parse_prefixed("ch_", text)
        .or_else(|| parse_prefixed("pay_", text))
        .or_else(|| parse_uuid(text))
        .map(PaymentId::new)
}

pub(super) fn charge_id(payment: PaymentId) -> String {
    prefixed_text("ch_", payment.bits())
}

pub(super) fn payment_id(payment: PaymentId) -> String {
    prefixed_text("pay_", payment.bits())
}

pub(super) fn refund_id(refund: RefundId) -> String {
    prefixed_text("ref_", refund.bits())
}

/// The PSP's refund id, or ours on connectors that have none (decision L5).
pub(super) fn psp_refund_id(refund: RefundId, known: Option<&str>) -> String {
    known.map_or_else(|| prefixed_text("re_", refund.bits()), str::to_owned)
}

/// The charge of a payment where no caller named it: the PSP's charge if exactly one was
/// registered, else our spelling.
pub(super) fn charge_of(payment: &PaymentView) -> String {
    let mut charges =
        payment.aliases.iter().filter(|alias| alias.starts_with("ch_") || alias.starts_with("py_"));
    match (charges.next(), charges.next()) {
        (Some(only), None) => only.clone(),
        _ => charge_id(payment.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_has_three_spellings_of_one_number() {
        let payment = PaymentId::new(0x0191_f5a7_44d3_7430_8739_2d80_8214_16bf);
        let charge = charge_id(payment);
        assert_eq!(charge, "ch_01J7TTEH6KEGR8EE9DG21185NZ");
        for (text, read) in [
            (charge.as_str(), Some(payment)),
            (&payment_id(payment), Some(payment)),
            ("0191f5a7-44d3-7430-8739-2d80821416bf", Some(payment)),
            ("0191F5A7-44D3-7430-8739-2D80821416BF", Some(payment)),
            ("ref_01J7TTEH6KEGR8EE9DG21185NZ", None),
            ("01J7TTEH6KEGR8EE9DG21185NZ", None),
            ("ch_3OabcDEFghiJKLmnoPQRstuv", None),
            ("", None),
        ] {
            assert_eq!(decode(text), read, "{text}");
        }
    }
}

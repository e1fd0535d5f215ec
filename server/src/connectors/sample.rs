//! A call as the engine prepares it, for tests and for the fuzzer. What they are about they change.

use requite_core::currency::Currency;
use requite_core::id::{MerchantId, PaymentId, RefundId};
use requite_core::money::Minor;
use requite_engine::command::RefundRef;
use requite_engine::psp::{CallKind, Instruction};

/// The first call for a refund of 15.00 USD, of the charge `ch_1`.
pub(crate) fn instruction(kind: CallKind) -> Instruction {
    Instruction {
        kind,
        refund: RefundRef {
            merchant: MerchantId::new(1),
            payment: PaymentId::new(2),
            refund: RefundId::new(0x0191f5a7_44d3_7430_8739_2d80821416bf),
        },
        attempt: 1,
        call_no: 0,
        amount: Minor::new(1_500).expect("an amount"),
        currency: Currency::parse("USD").expect("listed"),
        connector: "account".to_owned(),
        connector_payment: Some("ch_1".to_owned()),
        connector_settings: None,
        psp_refund: None,
        reason: None,
        age_ms: 0,
        prepared_at_ms: 0,
    }
}

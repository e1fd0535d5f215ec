use requite_core::id::{MerchantId, PaymentId, ReasonId, RefundId};
use requite_core::money::Minor;
use requite_engine::key::KEY_LIFE_MS;
use requite_engine::order::{OrderPart, OrderRefund};
use requite_engine::read::{KeptAnswer, Reads, ReasonView};
use requite_engine::registry::{Registry, RegistryFault};

use crate::sessions::office;
use crate::support::{Bench, MERCHANT, NOW};

fn plan(id: u128, refusal: Option<&str>) -> OrderRefund {
    let part = |number: u128, units: Option<i64>| OrderPart {
        payment: PaymentId::new(number),
        seen: 3,
        refund: units
            .map(|units| (RefundId::new(id + number), Minor::new(units).expect("an amount"))),
    };
    OrderRefund {
        merchant: MERCHANT,
        id: RefundId::new(id),
        order: "order_1".to_owned(),
        amount: 40,
        reason: "return".to_owned(),
        note: Some(String::new()),
        key_text: None,
        refusal: refusal.map(str::to_owned),
        payments: vec![part(0, Some(30)), part(1, None), part(2, Some(10))],
        created_at_ms: NOW,
    }
}

fn answer(subject: u128, at_ms: i64) -> KeptAnswer {
    KeptAnswer { key_hash: [7; 16], fingerprint: [8; 16], subject, body: None, at_ms }
}

#[test]
fn a_plan_is_read_as_it_was_written_and_a_refused_one_is_not_the_orders() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let (made, refused) = (plan(100, None), plan(200, Some("exceeds_paid")));
    for new in [&made, &refused] {
        registry.plan_order_refund(new, None, None).expect("a new one");
        let read = reads.order_refund(MERCHANT, new.id).expect("readable");
        assert_eq!(read.as_ref(), Some(new));
    }
    let listed = reads.order_refunds(MERCHANT, "order_1").expect("readable");
    assert_eq!(listed, std::slice::from_ref(&made));
    assert_eq!(reads.order_refunds(MERCHANT, "order_2").expect("readable"), []);
    let stranger = MerchantId::new(99);
    assert_eq!(reads.order_refund(stranger, made.id).expect("readable"), None);
    assert_eq!(reads.order_refunds(stranger, "order_1").expect("readable"), []);
}

/// Two requests with one key plan at once, and a plan that did not do makes room for one other.
#[test]
fn a_key_stands_for_one_plan_at_a_time() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let write = |id: u128, instead: Option<u128>, at_ms: i64| {
        let instead = instead.map(RefundId::new);
        registry.plan_order_refund(&plan(id, None), Some(&answer(id, at_ms)), instead)
    };
    let stands_for = |id: u128| {
        let kept = reads.kept_answer(MERCHANT, &[7; 16], NOW).expect("readable");
        assert_eq!(kept.map(|kept| kept.subject), Some(id));
    };
    write(100, None, NOW).expect("the first");
    let second = write(200, None, NOW);
    assert!(matches!(second, Err(RegistryFault::Answered)), "{second:?}");
    assert_eq!(reads.order_refund(MERCHANT, RefundId::new(200)).expect("readable"), None);
    stands_for(100);
    write(300, Some(100), NOW).expect("in place of the first");
    stands_for(300);
    let late = write(400, Some(100), NOW);
    assert!(matches!(late, Err(RegistryFault::Answered)), "{late:?}");
    stands_for(300);
    write(500, None, NOW + KEY_LIFE_MS).expect("the key is free again");
}

#[test]
fn a_return_reasons_value_is_one_reasons_at_a_time() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let reason = |id: u128, deleted_at_ms: Option<i64>| ReasonView {
        id: ReasonId::new(id),
        code: "damaged".to_owned(),
        label: "Damaged".to_owned(),
        description: None,
        created_at_ms: NOW,
        updated_at_ms: NOW,
        deleted_at_ms,
    };
    let put = |reason: &ReasonView| registry.put_return_reason(MERCHANT, reason, None);
    put(&reason(1, None)).expect("a new one");
    assert!(matches!(put(&reason(2, None)), Err(RegistryFault::Taken(_))));
    let listed = |only: Option<u128>| {
        let found = reads.return_reasons(MERCHANT, only.map(ReasonId::new)).expect("readable");
        found.iter().map(|reason| reason.id.bits()).collect::<Vec<u128>>()
    };
    assert_eq!((listed(None), listed(Some(1)), listed(Some(2))), (vec![1], vec![1], vec![]));
    put(&reason(1, Some(NOW))).expect("deleted");
    put(&reason(2, None)).expect("its value is free");
    assert_eq!((listed(None), listed(Some(1))), (vec![2], vec![]));
}

use requite_core::currency::Currency;
use requite_core::id::{KeyId, MerchantId, PaymentId};
use requite_engine::command::Command;
use requite_engine::key::KEY_LIFE_MS;
use requite_engine::read::{
    CollectionSession, CollectionView, KeptAnswer, KeyNote, Mark, MerchantView, Reads,
};
use requite_engine::registry::{NewKey, Registry, RegistryFault};
use requite_engine::store::SqlRegistry;

use crate::support::{Bench, MERCHANT, NOW, PAYMENT, minor, registration};

const COLLECTION: PaymentId = PaymentId::new(0xC0);

fn registry(bench: &Bench) -> SqlRegistry {
    let registry = bench.place.registry();
    let merchant = MerchantView {
        id: MERCHANT,
        slug: "shop".to_owned(),
        name: "Shop".to_owned(),
        profile: "{}".to_owned(),
        created_at_ms: NOW,
    };
    registry.create_merchant(&merchant, &[]).expect("the first merchant");
    registry
}

fn collection(id: PaymentId) -> CollectionView {
    CollectionView {
        id,
        order: "order_1".to_owned(),
        currency: Currency::parse("EUR").expect("listed"),
        amount: minor(6_000),
        session: None,
        created_at_ms: NOW,
        updated_at_ms: NOW,
        mark: None,
    }
}

fn mark(by: &str, at_ms: i64) -> Mark {
    Mark { by: by.to_owned(), at_ms }
}

fn answer(fingerprint: u8, subject: u128, at_ms: i64) -> KeptAnswer {
    KeptAnswer {
        key_hash: [1; 16],
        fingerprint: [fingerprint; 16],
        subject,
        body: Some("{}".to_owned()),
        at_ms,
    }
}

#[test]
fn a_collection_is_open_until_it_is_marked() {
    let bench = Bench::new();
    let (registry, reads) = (registry(&bench), bench.reads());
    let read = || reads.collection(MERCHANT, COLLECTION).expect("readable");
    let mut expected = collection(COLLECTION);
    registry.create_collection(MERCHANT, &expected, None).expect("a new one");
    assert_eq!(read(), Some(expected.clone()));
    for at_ms in [NOW + 1, NOW + 2] {
        let session = CollectionSession { provider: "pp_system_default".to_owned(), at_ms };
        let opened = registry.open_collection_session(MERCHANT, COLLECTION, &session, None);
        assert!(opened.expect("written"), "a later one takes its place");
        (expected.session, expected.updated_at_ms) = (Some(session), at_ms);
        assert_eq!(read(), Some(expected.clone()));
    }
    let first = mark("user_1", NOW + 3);
    (expected.mark, expected.updated_at_ms) = (Some(first.clone()), NOW + 3);
    for mark in [&first, &mark("user_2", NOW + 4)] {
        let marked = registry.mark_collection(MERCHANT, COLLECTION, mark).expect("written");
        assert_eq!(marked, Some(expected.clone()), "the first mark stands");
    }
    assert!(!registry.delete_collection(MERCHANT, COLLECTION).expect("written"), "marked");
    let session = CollectionSession { provider: "pp_x".to_owned(), at_ms: NOW };
    let opened = registry.open_collection_session(MERCHANT, COLLECTION, &session, None);
    assert!(!opened.expect("written"), "marked");
    let theirs = registry.mark_collection(MerchantId::new(99), COLLECTION, &first);
    assert_eq!(theirs.expect("written"), None, "another merchant's is unknown");
}

#[test]
fn a_collection_whose_payment_is_there_is_not_deleted() {
    let mut bench = Bench::new();
    let registry = registry(&bench);
    let other = PaymentId::new(PAYMENT.bits() + 1);
    for id in [PAYMENT, other] {
        registry.create_collection(MERCHANT, &collection(id), None).expect("a new one");
    }
    let paid = registration("manual", &[6_000]);
    bench.ask(Command::Register(Box::new(paid))).expect("a sound registration");
    assert!(!registry.delete_collection(MERCHANT, PAYMENT).expect("written"));
    assert!(registry.delete_collection(MERCHANT, other).expect("written"));
    assert!(!registry.delete_collection(MERCHANT, other).expect("written"), "it is gone");
    assert_eq!(bench.reads().collection(MERCHANT, other).expect("readable"), None);
}

/// A key that has an answer undoes the whole write that comes with another one.
#[test]
fn a_write_and_its_answer_are_kept_both_or_neither() {
    let bench = Bench::new();
    let (registry, reads) = (registry(&bench), bench.reads());
    let kept = |now_ms| reads.kept_answer(MERCHANT, &[1; 16], now_ms).expect("readable");
    let ids = [1, 2, 3].map(PaymentId::new);
    let create = |id: PaymentId, answer: &KeptAnswer| {
        registry.create_collection(MERCHANT, &collection(id), Some(answer))
    };
    let first = answer(1, 1, NOW);
    create(ids[0], &first).expect("a new one");
    let last = NOW + KEY_LIFE_MS - 1;
    assert_eq!((kept(NOW), kept(last)), (Some(first.clone()), Some(first)));
    let second = create(ids[1], &answer(2, 2, last));
    assert!(matches!(second, Err(RegistryFault::Answered)), "{second:?}");
    assert_eq!(reads.collection(MERCHANT, ids[1]).expect("readable"), None);
    assert_eq!(kept(last + 1), None, "60 days later it counts no more");
    let third = answer(3, 3, last + 1);
    create(ids[2], &third).expect("the key is free again");
    assert_eq!(kept(last + 1), Some(third));
}

#[test]
fn a_key_is_revoked_once_and_remembers_by_whom() {
    let bench = Bench::new();
    let (registry, reads) = (registry(&bench), bench.reads());
    let about = KeyNote {
        is_publishable: false,
        title: Some("Refunds".to_owned()),
        redacted: Some("sk_123***abc".to_owned()),
        created_by: Some("user_1".to_owned()),
    };
    let key = NewKey {
        id: KeyId::new(7),
        merchant: MERCHANT,
        face: "medusa-v2".to_owned(),
        scopes: Some(vec!["admin".to_owned(), "refunds.read".to_owned()]),
        lookups: vec![[3; 32]],
        public_key: None,
        about: about.clone(),
        at_ms: NOW,
    };
    registry.create_key(&key, None).expect("a new one");
    let found = reads.key(&[3; 32]).expect("readable").expect("by its secret");
    assert_eq!((&found.about, &found.scopes), (&about, &key.scopes));
    assert_eq!(reads.key_named(MERCHANT, key.id).expect("readable"), Some(found));
    assert_eq!(reads.key_named(MerchantId::new(99), key.id).expect("readable"), None);
    for (by, is_done) in [("user_2", true), ("user_3", false)] {
        let revoked = registry.revoke_key(MERCHANT, key.id, &mark(by, NOW + 1), None);
        assert_eq!(revoked.expect("written"), is_done, "{by}");
    }
    let found = reads.key(&[3; 32]).expect("readable").expect("revoked ones, too");
    assert_eq!((found.revoked_at_ms, found.revoked_by.as_deref()), (Some(NOW + 1), Some("user_2")));
}

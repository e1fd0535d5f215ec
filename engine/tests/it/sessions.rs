use requite_core::id::{MerchantId, PersonId};
use requite_engine::read::{MerchantView, Reads, SessionView};
use requite_engine::registry::{EXPIRED_SESSIONS_MAX, Registry, RegistryFault, SESSIONS_MAX};
use requite_engine::store::{SqlReads, SqlRegistry};

use crate::support::{Bench, MERCHANT, NOW};

const HOUR_MS: i64 = 3_600_000;

fn session(number: u32, person: u128, created_at_ms: i64) -> SessionView {
    let mut lookup = [0; 32];
    lookup[..4].copy_from_slice(&number.to_be_bytes());
    SessionView {
        lookup,
        face: "medusa-v1".to_owned(),
        merchant: MERCHANT,
        person: PersonId::new(person),
        created_at_ms,
        expires_at_ms: created_at_ms + HOUR_MS,
    }
}

/// The two sides of a store with one merchant.
pub(crate) fn office(bench: &Bench) -> (SqlRegistry, SqlReads) {
    let registry = bench.place.registry();
    let merchant = MerchantView {
        id: MERCHANT,
        slug: "shop".to_owned(),
        name: "Shop".to_owned(),
        profile: "{}".to_owned(),
        created_at_ms: NOW,
    };
    registry.create_merchant(&merchant, &[]).expect("the first merchant");
    (registry, bench.reads())
}

fn is_there(reads: &SqlReads, session: &SessionView) -> bool {
    reads.session(&session.lookup).expect("readable").is_some()
}

#[test]
fn a_session_is_found_as_it_was_opened_until_it_is_closed() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let (one, other) = (session(1, 5, NOW), session(2, 5, NOW));
    for new in [&one, &other] {
        registry.open_session(new).expect("a new one");
    }
    assert_eq!(reads.session(&one.lookup).expect("readable"), Some(one.clone()));
    let taken = registry.open_session(&one);
    assert!(matches!(taken, Err(RegistryFault::Taken(_))), "{taken:?}");
    for _ in 0..2 {
        registry.close_session(&one.lookup).expect("closed, or closed already");
    }
    assert!(!is_there(&reads, &one));
    assert!(is_there(&reads, &other), "another log-in of the same person goes on");
    let nowhere = SessionView { merchant: MerchantId::new(99), ..session(3, 5, NOW) };
    let refused = registry.open_session(&nowhere);
    assert!(matches!(refused, Err(RegistryFault::MerchantUnknown)), "{refused:?}");
}

#[test]
fn a_person_has_so_many_sessions_and_the_oldest_makes_way() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let bystander = session(1_000, 6, NOW);
    registry.open_session(&bystander).expect("a new one");
    let mine: Vec<SessionView> = (0..=SESSIONS_MAX)
        .map(|number| session(number, 5, NOW + i64::from(number)))
        .inspect(|new| registry.open_session(new).expect("a new one"))
        .collect();
    let there: Vec<bool> = mine.iter().map(|session| is_there(&reads, session)).collect();
    assert!(!there[0], "the oldest is gone");
    assert!(there[1..].iter().all(|there| *there), "{there:?}");
    assert!(is_there(&reads, &bystander));
}

#[test]
fn ended_sessions_are_deleted_a_few_with_each_new_one() {
    let bench = Bench::new();
    let (registry, reads) = office(&bench);
    let ended: Vec<SessionView> = (0..EXPIRED_SESSIONS_MAX + 1)
        .map(|number| session(number, u128::from(number), NOW + i64::from(number)))
        .inspect(|new| registry.open_session(new).expect("a new one"))
        .collect();
    let left = || ended.iter().filter(|session| is_there(&reads, session)).count();
    let later = NOW + 2 * HOUR_MS;
    registry.open_session(&session(1_000, 5, NOW + HOUR_MS - 1)).expect("a new one");
    assert_eq!(left(), ended.len(), "none has ended yet");
    registry.open_session(&session(1_001, 5, later)).expect("a new one");
    assert_eq!(left(), 1, "the youngest is left for the next time");
    registry.open_session(&session(1_002, 5, later)).expect("a new one");
    assert_eq!(left(), 0);
}

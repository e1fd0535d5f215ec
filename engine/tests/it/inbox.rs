//! The inbox: once each, somebody's for a while, and then done with.

use requite_core::id::RefundId;
use requite_engine::inbox::{
    AccountRef, Inbox, ListPage, MessageEnd, MessageState, MessageView, NewMessage, Sweep,
    WAITING_MAX,
};

use crate::support::{MERCHANT, NOW, Place};

const AT: AccountRef = AccountRef { merchant: MERCHANT, account: 5 };

fn message(at: AccountRef, id: &str) -> NewMessage {
    let (id, word) = (id.to_owned(), "refund.updated".to_owned());
    NewMessage { at, id, word, told: Ok("{}".to_owned()), at_ms: NOW }
}

fn end(state: MessageState) -> MessageEnd {
    MessageEnd { state, result: "nothing new".to_owned(), refund: Some(RefundId::new(1)) }
}

fn all(inbox: &impl Inbox, only: Option<MessageState>) -> Vec<MessageView> {
    let page = ListPage { until_ms: None, limit: 100 };
    inbox.messages(MERCHANT, only, &page).expect("readable")
}

fn claimed(inbox: &impl Inbox, now_ms: i64) -> Vec<MessageView> {
    inbox.claim(now_ms, now_ms + 1_000, 10).expect("readable")
}

#[test]
fn a_message_is_kept_once_worked_on_until_it_is_done_with_and_then_forgotten() {
    let place = Place::new();
    let inbox = place.registry();
    let other = AccountRef { account: 6, ..AT };
    let ignored = NewMessage { told: Err(end(MessageState::Ignored)), ..message(AT, "evt_2") };
    let first = [message(AT, "evt_1"), ignored, message(other, "evt_1")];
    assert!(inbox.take_in(&first).expect("writable"));
    let again = NewMessage { told: Ok("another".to_owned()), ..message(AT, "evt_1") };
    assert!(inbox.take_in(&[again]).expect("writable"));
    assert_eq!(all(&inbox, None).len(), 3);

    let mine = claimed(&inbox, NOW);
    assert_eq!(mine.len(), 2, "what was ignored at once is nobody's work");
    assert_eq!((mine[0].tries, mine[0].notice.as_deref()), (1, Some("{}")), "as it came first");
    assert_eq!(claimed(&inbox, NOW + 999), [], "it is somebody's");
    inbox.end(&mine[0], &end(MessageState::Processed), NOW + 5).expect("writable");
    inbox.postpone(&mine[1], "no answer", NOW + 50).expect("writable");
    // Whoever claimed it died: its time comes again.
    let later = claimed(&inbox, NOW + 50);
    assert_eq!(
        (later.len(), later[0].tries, later[0].result.as_deref()),
        (1, 2, Some("no answer"))
    );
    inbox.end(&later[0], &end(MessageState::Quarantined), NOW + 60).expect("writable");
    inbox.postpone(&later[0], "too late", NOW + 70).expect("writable");
    assert_eq!(claimed(&inbox, NOW + 100_000), [], "what is done with stays so");

    let done = all(&inbox, Some(MessageState::Processed));
    assert_eq!((done.len(), &done[0].notice), (1, &None), "what it told is kept no longer");
    assert_eq!(done[0].refund, Some(RefundId::new(1)));
    inbox.forget(NOW + 6).expect("writable");
    let left: Vec<MessageState> = all(&inbox, None).iter().map(|message| message.state).collect();
    assert_eq!(left, [MessageState::Quarantined]);
}

#[test]
fn an_account_that_is_full_takes_nothing_in_and_holds_up_nobody() {
    let place = Place::new();
    let inbox = place.registry();
    let many: Vec<NewMessage> =
        (0..WAITING_MAX).map(|number| message(AT, &format!("evt_{number}"))).collect();
    assert!(inbox.take_in(&many).expect("writable"));
    assert!(!inbox.take_in(&[message(AT, "evt_more")]).expect("readable"));
    let other = AccountRef { account: 6, ..AT };
    assert!(inbox.take_in(&[message(other, "evt_more")]).expect("writable"));
}

#[test]
fn an_account_is_swept_by_one_at_a_time_and_never_backwards() {
    let place = Place::new();
    let inbox = place.registry();
    let claim = |now_ms| inbox.claim_sweep(AT, NOW, (now_ms, now_ms + 100)).expect("writable");
    assert_eq!(claim(NOW), Some(Sweep { at: AT, since_ms: NOW }));
    assert_eq!(claim(NOW + 99), None, "it is somebody's turn");
    inbox.end_sweep(AT, NOW + 90).expect("writable");
    inbox.end_sweep(AT, NOW + 10).expect("writable");
    assert_eq!(claim(NOW + 100), Some(Sweep { at: AT, since_ms: NOW + 90 }));
}

#[test]
fn every_state_of_a_message_has_one_number_and_one_word() {
    for (state, number, word) in MessageState::LISTED {
        assert_eq!((state.number(), state.word()), (number, word));
        assert_eq!(MessageState::from_number(number), Some(state));
        assert_eq!(MessageState::from_word(word), Some(state));
    }
}

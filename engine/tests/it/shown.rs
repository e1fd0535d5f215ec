//! What the lane tells of a refund is what the books show of it, as of the event that the answer names.

use requite_core::settle::Finding;
use requite_engine::command::{Amendment, Command, RefundReply};
use requite_engine::lane::Lane;
use requite_engine::read::Reads;

use crate::support::{
    Bench, MERCHANT, NOW, PAYMENT, TestConnectors, keyed, lost, request, send_batch, succeeded,
    told,
};

/// `true`: it was told, and need not be read.
fn is_told(bench: &Bench, reply: &RefundReply) -> bool {
    let read = bench.reads().refund_as_of(reply.refund, reply.as_of).expect("readable");
    let Some(shown) = &reply.shown else { return false };
    assert_eq!(read.as_ref(), Some(shown.as_ref()));
    true
}

fn rename(bench: &mut Bench, name: Option<&str>) {
    let amended = bench.ask(Command::Amend(Box::new(Amendment {
        merchant: MERCHANT,
        payment: PAYMENT,
        external_identifier: Some(name.map(str::to_owned)),
        metadata: None,
        actor: "test".to_owned(),
        at_ms: NOW,
    })));
    amended.expect("amended");
}

#[test]
fn a_first_answer_tells_all_that_a_repeats_reads() {
    for connector in ["manual", "psp"] {
        let mut bench = Bench::with_payment(connector);
        for (number, name) in [(1, None), (2, Some("order-2")), (3, Some("order-3")), (4, None)] {
            if number > 1 {
                rename(&mut bench, name);
            }
            let mut wish = keyed(number, 100, &format!("key-{number}"));
            wish.details.note = Some("a note".to_owned());
            wish.details.wants_reference = number == 3;
            let heard = bench.start(wish.clone());
            if connector == "psp" {
                if number == 2 {
                    rename(&mut bench, Some("meanwhile"));
                }
                bench.answer(if number == 3 { lost() } else { succeeded() });
            }
            let first = told(&heard).expect("answered");
            assert!(is_told(&bench, &first), "{connector} {number}");
            let repeat = told(&bench.start(wish)).expect("answered");
            assert!(repeat.is_replay && repeat.shown.is_none() && repeat.as_of == first.as_of);
        }
    }
}

/// Whatever another process did with a refund meanwhile, nothing is told that is not so.
#[test]
fn what_was_kept_of_a_refund_counts_only_while_its_row_is_the_same() {
    for is_settled_there in [false, true] {
        let mut bench = Bench::with_payment("psp");
        let heard = bench.start(request(1, 4_000));
        let call = bench.sent.last().expect("a call").clone();
        let refund = call.refund;
        if is_settled_there {
            let mut other = Lane::new(bench.place.store(), TestConnectors);
            let finding = Finding { attempt: call.attempt, outcome: lost(), at_ms: NOW + 5 };
            send_batch(&mut other, vec![Command::Settle { refund, finding }]);
            bench.batch(vec![Command::Learn { refund }]);
        } else {
            bench.batch(vec![Command::Expire { refund }]);
        }
        let reply = told(&heard).expect("answered");
        assert_eq!(is_told(&bench, &reply), !is_settled_there);
    }
}

#[test]
fn payments_read_together_are_each_as_when_read_alone() {
    let mut bench = Bench::with_payment("psp");
    bench.start(request(1, 4_000));
    bench.answer(lost());
    let views = bench.reads().payments_as_told(MERCHANT, &[PAYMENT]).expect("readable");
    let [view] = views.as_slice() else { panic!("{views:?}") };
    assert_eq!(view, &bench.view(Some(view.seq)));
    let nobodys = requite_core::id::PaymentId::new(77);
    assert!(bench.reads().payments_as_told(MERCHANT, &[nobodys]).expect("readable").is_empty());
}

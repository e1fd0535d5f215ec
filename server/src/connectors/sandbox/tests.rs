use requite_core::currency::Currency;
use requite_core::money::Minor;

use super::*;
use crate::connectors::sample;

fn instruction(kind: CallKind, script: &[&str], call_no: u32, amount: i64) -> Instruction {
    let entries: Vec<String> = script.iter().map(|entry| (*entry).to_owned()).collect();
    Instruction {
        call_no,
        amount: Minor::new(amount).expect("an amount"),
        currency: Currency::parse("EUR").expect("a currency"),
        connector: NAME.to_owned(),
        connector_payment: None,
        connector_settings: script_text(&entries),
        ..sample::instruction(kind)
    }
}

/// A call in one word, with the code of its fault.
fn word(call: Call) -> String {
    let outcome = match call {
        Call::Known(outcome) => outcome,
        Call::Later(delay, outcome) => {
            let ms = delay.as_millis();
            return format!("after {ms} ms {}", word(Call::Known(outcome)));
        }
        Call::Silence => return "silence".to_owned(),
    };
    match outcome {
        Outcome::Succeeded { psp_refund } => {
            assert_eq!(psp_refund.as_deref(), Some("sbx_01J7TTEH6KEGR8EE9DG21185NZ"));
            "succeeded".to_owned()
        }
        Outcome::Pending { .. } => "pending".to_owned(),
        Outcome::RequiresAction { .. } => "requires_action".to_owned(),
        Outcome::Declined { fault, .. } => format!("declined {}", fault.code),
        Outcome::Voided { fault, .. } => format!("voided {}", fault.code),
        Outcome::Failed { fault } => format!("failed {}", fault.code),
        Outcome::Unknown { fault } => format!("unknown {}", fault.code),
        Outcome::NotSent { fault, .. } => format!("turned away {}", fault.code),
        Outcome::Unreached { fault, .. } => format!("not sent {}", fault.code),
        Outcome::Absent => "absent".to_owned(),
    }
}

/// Scripts and Gr4vy's test amounts decline bookings, and say nothing about refunds.
#[test]
fn bookings_are_declined_as_scripted() {
    let capture = Booking::Capture { is_final: false };
    let script = |entries: &[&str]| {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        script_text(&entries)
    };
    let both = script(&["capture:decline:05", "decline:51", "void:decline:12:closed"]);
    for (script, booking, amount, code) in [
        (&None, capture, 1, None),
        (&None, capture, 500_001, Some("issuer_decline")),
        (&None, Booking::Void, 500_001, None),
        (&None, Booking::Void, 510_002, Some("service_error")),
        (&both, capture, 1, Some("05")),
        (&both, Booking::Void, 1, Some("12")),
        (&both, Booking::Extension, 1, None),
    ] {
        let amount = Minor::new(amount).expect("an amount of money");
        let declined = decline(script.as_deref(), booking, amount);
        assert_eq!(declined.as_ref().map(|fault| fault.code.as_str()), code, "{booking:?}");
    }
    for refused in ["capture", "capture:approve", "refund:decline:05", "void:decline:"] {
        assert_eq!(Entry::parse(refused), None, "{refused}");
    }
}

#[test]
fn each_entry_is_answered_as_documented_and_a_look_up_tells_the_same_truth() {
    for (entry, sent, found) in [
        ("approve", "succeeded", "succeeded"),
        ("decline:expired_card", "declined expired_card", "declined expired_card"),
        ("decline:x:In words: no.", "declined x", "declined x"),
        ("fail", "failed failed", "failed failed"),
        ("unsent", "not sent not_sent", "absent"),
        ("fail:out of order", "failed failed", "failed failed"),
        ("pending", "pending", "pending"),
        ("action", "requires_action", "requires_action"),
        ("pending:approve", "pending", "succeeded"),
        ("pending:decline:closed_account", "pending", "declined closed_account"),
        ("lost", "silence", "succeeded"),
        ("lost:never", "silence", "absent"),
        ("lost:decline:no", "silence", "declined no"),
        ("hang", "silence", "succeeded"),
        ("hang:500", "after 500 ms succeeded", "succeeded"),
        ("http:503", "unknown http_503", "absent"),
        ("http:302", "unknown http_302", "absent"),
        ("http:404", "declined http_404", "declined http_404"),
    ] {
        let kinds = [(CallKind::Send, sent), (CallKind::LookUp, found)];
        for (kind, expected) in kinds {
            let told = word(call(&instruction(kind, &[entry], 0, 1000)));
            assert_eq!(told, expected, "{entry} {kind:?}");
        }
    }
}

#[test]
fn what_waits_for_the_customer_is_cancelled_and_nothing_else_is() {
    for (entry, told) in [
        ("action", "voided canceled"),
        ("pending", "pending"),
        ("pending:approve", "succeeded"),
        ("approve", "succeeded"),
    ] {
        assert_eq!(word(call(&instruction(CallKind::Cancel, &[entry], 0, 1000))), told, "{entry}");
    }
}

#[test]
fn entries_are_used_in_order_and_then_everything_is_approved() {
    let script = ["lost:never", "decline:no"];
    for (call_no, expected) in
        [(0, "silence"), (1, "declined no"), (2, "succeeded"), (9, "succeeded")]
    {
        assert_eq!(word(call(&instruction(CallKind::Send, &script, call_no, 1000))), expected);
    }
    assert_eq!(word(call(&instruction(CallKind::Send, &[], 0, 1000))), "succeeded");
}

#[test]
fn amounts_that_gr4vys_simulator_documents_fail_as_they_do_there() {
    for (amount, expected) in [
        (520_000, "succeeded"),
        (520_001, "declined disputed_transaction"),
        (520_002, "declined issuer_decline"),
        (520_003, "failed service_error"),
        (520_004, "declined refund_already_satisfied"),
    ] {
        for kind in [CallKind::Send, CallKind::LookUp] {
            assert_eq!(word(call(&instruction(kind, &[], 0, amount))), expected);
        }
    }
}

#[test]
fn words_and_texts_of_a_decline_are_kept() {
    let Some(Entry::Decline(fault)) = Entry::parse("decline:do_not_honor:Ask the bank: it knows")
    else {
        panic!("an entry of the grammar");
    };
    assert_eq!(
        (fault.code.as_str(), fault.text.as_str()),
        ("do_not_honor", "Ask the bank: it knows")
    );
}

#[test]
fn anything_outside_the_grammar_is_no_entry() {
    let long = format!("fail:{}", "x".repeat(ENTRY_BYTES_MAX));
    for text in [
        "",
        "Approve",
        "approve:",
        "approve ",
        "decline",
        "decline:",
        "decline::text",
        "decline:a b",
        "pending:",
        "pending:decline",
        "pending:decline:",
        "pending:fail",
        "lost:",
        "lost:always",
        "lost:decline",
        "lost:decline:",
        "hang:",
        "hang:1s",
        "hang:+1",
        "hang:600001",
        "http",
        "http:",
        "http:42",
        "http:600",
        "http:099",
        "http:+40",
        "http:4040",
        &long,
    ] {
        assert_eq!(Entry::parse(text), None, "{text:?}");
    }
}

#[test]
fn a_script_that_cannot_be_read_approves_nothing() {
    for script in ["", "approve", "[1]", "[\"aprove\"]"] {
        for kind in [CallKind::Send, CallKind::LookUp] {
            let mut instruction = instruction(kind, &[], 0, 1000);
            instruction.connector_settings = Some(script.to_owned());
            assert_eq!(word(call(&instruction)), "unknown script_unreadable", "{script}");
        }
    }
}

//! Stripe's own list of refunds, newest first: whatever was made of them, by whomever.

use super::{List, PAGE, complaint_of, form_value, hook, read};
use crate::connectors::exchange::{Heard, fault};
use crate::connectors::notice::{Listing, NextOfList};

/// What to ask next for the refunds that were made between two times (in milliseconds).
pub(crate) fn next((since_ms, until_ms): (i64, i64), heard: &[Heard]) -> NextOfList {
    let mut rows = Vec::new();
    let mut last = None;
    for page in heard {
        let listed = match page {
            Heard::Answer(answer) if answer.status == 200 => {
                serde_json::from_slice::<List>(&answer.body)
            }
            Heard::Answer(answer) => return failed(complaint_of(answer)),
            Heard::NotSent(fault) | Heard::Lost(fault) => return failed(fault.clone()),
        };
        let Ok(List { data, has_more }) = listed else {
            return failed(fault("answer_unreadable", "it is no list of refunds"));
        };
        last = data.last().map(|refund| refund.id.clone()).filter(|_| has_more);
        rows.extend(data.iter().map(hook::notice));
        if last.is_none() {
            return NextOfList::Done(Listing::Whole(rows));
        }
    }
    let since_s = since_ms.div_euclid(1_000).max(0);
    let until_s = until_ms.div_euclid(1_000).saturating_add(1);
    let times = format!("created%5Bgte%5D={since_s}&created%5Blte%5D={until_s}");
    let after = last.map(|id| format!("&starting_after={}", form_value(&id)));
    let after = after.unwrap_or_default();
    NextOfList::Ask(read(format!("/v1/refunds?{times}&limit={PAGE}{after}")))
}

fn failed(fault: requite_core::refund::Fault) -> NextOfList {
    NextOfList::Done(Listing::Failed(fault))
}

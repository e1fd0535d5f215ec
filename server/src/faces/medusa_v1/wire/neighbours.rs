//! The bodies of the routes beside payments: refunds of an order, and return reasons.

use super::{
    Complaints, Members, REASON_EMPTY, REASON_UNKNOWN, REASONS, amount, invalid, is_empty, note,
};
use crate::faces::medusa_v1::failure::Failure;
use crate::json::{Json, Value};

/// The body of an order's refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::faces::medusa_v1) struct OrderRefundBody {
    /// Minor units, 1 or more.
    pub amount: i64,
    /// One of the five words.
    pub reason: &'static str,
    pub note: Option<String>,
}

impl OrderRefundBody {
    /// `no_notification` is read and means nothing here: Requite notifies nobody.
    pub(in crate::faces::medusa_v1) fn read(
        members: &Members<'_>,
    ) -> Result<OrderRefundBody, Failure> {
        const KNOWN: [&str; 4] = ["amount", "reason", "note", "no_notification"];
        let mut complaints = members.strangers(&KNOWN);
        if let Members::List(_) = members {
            return Err(invalid(&complaints));
        }
        let amount = amount(members.member("amount"), &mut complaints);
        let reason = required_text(members, "reason", &mut complaints);
        let note = note(members.member("note"), &mut complaints);
        let notified = members.member("no_notification").filter(|value| !value.is_null());
        if notified.is_some_and(|value| !matches!(value.value(), Value::Bool(_))) {
            complaints.push("no_notification must be a boolean value".into());
        }
        // The original stores the reason in a column of these five, and fails with 500 on others.
        let listed = REASONS.into_iter().find(|listed| reason.as_deref() == Some(*listed));
        if complaints.is_empty() && listed.is_none() {
            complaints.push(REASON_UNKNOWN.into());
        }
        match (amount, listed) {
            (Some(amount), Some(reason)) if complaints.is_empty() => {
                Ok(OrderRefundBody { amount, reason, note })
            }
            _ => Err(invalid(&complaints)),
        }
    }

    /// Equal for bodies that ask for the same, however they are spelt.
    pub(in crate::faces::medusa_v1) fn meaning(&self) -> [String; 3] {
        let note = self.note.as_ref().map(|note| format!("note {note}"));
        [self.amount.to_string(), self.reason.to_owned(), note.unwrap_or_default()]
    }
}

/// The body of a return reason, new or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::faces::medusa_v1) struct ReturnReasonBody {
    pub value: Option<String>,
    pub label: Option<String>,
    pub description: Option<String>,
}

impl ReturnReasonBody {
    /// A new one must have value and label. `metadata` is read and not kept, for no answer shows it.
    pub(in crate::faces::medusa_v1) fn read(
        members: &Members<'_>,
        is_new: bool,
    ) -> Result<ReturnReasonBody, Failure> {
        const KNOWN: [&str; 5] =
            ["value", "label", "description", "metadata", "parent_return_reason_id"];
        // Only a new one can be put below another, in the original.
        let known = if is_new { &KNOWN[..] } else { &KNOWN[..4] };
        let mut complaints = members.strangers(known);
        if let Members::List(_) = members {
            return Err(invalid(&complaints));
        }
        let text = if is_new { required_text } else { optional_text };
        let value = text(members, "value", &mut complaints);
        let label = text(members, "label", &mut complaints);
        let mut parent = || optional_text(members, "parent_return_reason_id", &mut complaints);
        let parent = if is_new { parent() } else { None };
        if parent.is_some_and(|parent| !parent.is_empty()) {
            complaints
                .push("parent_return_reason_id is not supported: reasons are a flat list".into());
        }
        let description = optional_text(members, "description", &mut complaints);
        let metadata = members.member("metadata").filter(|value| !value.is_null());
        if metadata.is_some_and(|value| value.object().is_none()) {
            complaints.push("metadata must be an object".into());
        }
        if complaints.is_empty() {
            Ok(ReturnReasonBody { value, label, description })
        } else {
            Err(invalid(&complaints))
        }
    }

    /// Equal for bodies that ask for the same, however they are spelt.
    pub(in crate::faces::medusa_v1) fn meaning(&self) -> [String; 3] {
        [&self.value, &self.label, &self.description]
            .map(|text| text.as_ref().map(|text| format!("text {text}")).unwrap_or_default())
    }
}

fn required_text(
    members: &Members<'_>,
    name: &'static str,
    complaints: &mut Complaints,
) -> Option<String> {
    let value = members.member(name);
    if is_empty(value) {
        complaints.push(match name {
            "reason" => REASON_EMPTY.into(),
            name => format!("{name} should not be empty").into(),
        });
    }
    string(value, name, complaints)
}

/// Null is as good as absent.
fn optional_text(
    members: &Members<'_>,
    name: &'static str,
    complaints: &mut Complaints,
) -> Option<String> {
    let value = members.member(name).filter(|value| !value.is_null())?;
    string(Some(value), name, complaints)
}

fn string(value: Option<Json<'_>>, name: &str, complaints: &mut Complaints) -> Option<String> {
    let text = value.and_then(Json::string);
    match &text {
        None => complaints.push(format!("{name} must be a string").into()),
        Some(text) if text.contains('\0') => {
            complaints.push(format!("{name} must not contain NUL characters").into());
        }
        Some(_) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T>(read: Result<T, Failure>) -> String {
        match read {
            Ok(_) => "good".to_owned(),
            Err(Failure::Complaint(complaint)) => complaint.text().to_owned(),
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn an_orders_refund_is_read_as_the_original_does() {
        const MISSING: &str = "amount should not be empty, amount must be an integer number, \
                               reason should not be empty, reason must be a string";
        for (body, expected) in [
            (r#"{"amount":1,"reason":"return"}"#, "good"),
            (r#"{"amount":1,"reason":"other","note":"","no_notification":true}"#, "good"),
            (r#"{"amount":1,"reason":"other","note":null,"no_notification":null}"#, "good"),
            ("{}", MISSING),
            (r#"{"amount":0,"reason":"other"}"#, "amount must not be less than 1"),
            (r#"{"amount":1,"reason":"fraud"}"#, REASON_UNKNOWN),
            (r#"{"amount":1,"reason":7}"#, "reason must be a string"),
            (
                r#"{"amount":1,"reason":"other","no_notification":"x"}"#,
                "no_notification must be a boolean value",
            ),
            (r#"{"amount":1,"reason":"other","x":1}"#, "property x should not exist"),
            ("[1]", "property 0 should not exist"),
        ] {
            let members = Members::read(body.as_bytes()).expect("JSON");
            assert_eq!(told(OrderRefundBody::read(&members)), expected, "{body}");
        }
    }

    #[test]
    fn a_return_reason_is_read_as_the_original_does() {
        const MISSING: &str = "value should not be empty, value must be a string, label should not \
                               be empty, label must be a string";
        for (body, is_new, expected) in [
            (r#"{"value":"a","label":"b"}"#, true, "good"),
            (
                r#"{"value":"a","label":"b","description":"c","metadata":{},"parent_return_reason_id":null}"#,
                true,
                "good",
            ),
            ("{}", true, MISSING),
            ("{}", false, "good"),
            (r#"{"label":null}"#, false, "good"),
            (r#"{"label":1}"#, false, "label must be a string"),
            (r#"{"metadata":[]}"#, false, "metadata must be an object"),
            (
                r#"{"parent_return_reason_id":"rr_1"}"#,
                false,
                "property parent_return_reason_id should not exist",
            ),
            (
                r#"{"value":"a","label":"b","parent_return_reason_id":"rr_1"}"#,
                true,
                "parent_return_reason_id is not supported: reasons are a flat list",
            ),
            (r#"{"value":"a","label":"b","x":1}"#, true, "property x should not exist"),
        ] {
            let members = Members::read(body.as_bytes()).expect("JSON");
            assert_eq!(told(ReturnReasonBody::read(&members, is_new)), expected, "{body}");
        }
    }
}

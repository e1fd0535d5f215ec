//! `GET /admin/payments/{id}`: a payment, with `fields` and `expand`.
//!
//! `fields` is a comma list. Plain names replace the default set; if all begin with `+` or `-`, they
//! are added to it or taken away. `id` is always there. An unknown name is 400 (decision V1-9).

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use requite_core::id::{MerchantId, PaymentId, parse_prefixed, parse_uuid};
use requite_engine::read::PaymentView;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::failure::Failure;
use super::{Face, auth, wire};
use crate::json;
use crate::time::millis_text;

/// `GET /admin/payments/{id}`
pub(super) async fn retrieve(
    State(face): State<Face>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let actor = auth::actor(&face, &headers).await?;
    auth::require(&actor, &["payments.read", "refunds.read"])?;
    let selection = Selection::read(&query)?;
    let payment = find(&face, actor.merchant, &id).await?;
    let payment = payment.ok_or_else(|| Failure::payment_unknown(&id))?;
    let body = Members(vec![("payment", raw(&selection.of(&payment)))]);
    Ok(wire::json(StatusCode::OK, &body))
}

/// The payment that a path names: by its id in any face's spelling, else by an alias.
async fn find(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentView>, Failure> {
    if let Some(id) = spelled(text)
        && let Some(payment) = face.desk.payment(merchant, id, None).await?
    {
        return Ok(Some(payment));
    }
    match alias(face, merchant, text).await? {
        Some(id) => Ok(face.desk.payment(merchant, id, None).await?),
        None => Ok(None),
    }
}

/// Reads a payment's id in this face's spelling, or in another's.
pub(super) fn spelled(text: &str) -> Option<PaymentId> {
    parse_prefixed("pay_", text)
        .or_else(|| parse_uuid(text))
        .or_else(|| parse_prefixed("ch_", text))
        .map(PaymentId::new)
}

/// The payment that has this text as another name.
pub(super) async fn alias(
    face: &Face,
    merchant: MerchantId,
    text: &str,
) -> Result<Option<PaymentId>, Failure> {
    let text = text.to_owned();
    let named = face
        .desk
        .read(move |reads| reads.payment_named(merchant, &text));
    Ok(named.await?)
}

/// A member of a payment.
struct Field {
    name: &'static str,
    is_default: bool,
    of: fn(&PaymentView) -> Box<RawValue>,
}

const fn field(name: &'static str, of: fn(&PaymentView) -> Box<RawValue>) -> Field {
    let is_default = true;
    Field {
        name,
        is_default,
        of,
    }
}

/// Every member: the twelve that are shown unless others are asked for, then three more.
const FIELDS: [Field; 15] = [
    field("id", |p| raw(&wire::payment_text(p.id.bits()))),
    field("swap_id", |_| raw(&())),
    field("cart_id", |_| raw(&())),
    field("order_id", |p| raw(&p.order)),
    field("amount", |p| raw(&p.primary().amount.units())),
    field("currency_code", |p| raw(&currency(p))),
    // Open refunds count: their money is promised.
    field("amount_refunded", |p| {
        raw(&p.refunded_or_open(p.primary().id))
    }),
    field("provider_id", |p| raw(&p.connector)),
    field("data", |p| {
        profile_object(p, "data").unwrap_or_else(|| raw(&Members(Vec::new())))
    }),
    field("captured_at", |p| {
        let first = p.primary().captures.first();
        raw(&first.map(|capture| millis_text(capture.at_ms)))
    }),
    field("canceled_at", |p| raw(&p.cancelled_at_ms.map(millis_text))),
    field("metadata", |p| {
        profile_object(p, "metadata").unwrap_or_else(|| raw(&()))
    }),
    Field {
        is_default: false,
        ..field("created_at", |p| raw(&millis_text(p.created_at_ms)))
    },
    Field {
        is_default: false,
        ..field("updated_at", |p| raw(&millis_text(p.updated_at_ms)))
    },
    Field {
        is_default: false,
        ..field("idempotency_key", |_| raw(&()))
    },
];

/// Something beside the payment that can be shown inside it.
struct Relation {
    /// As `expand` names it.
    name: &'static str,
    of: fn(&PaymentView) -> Box<RawValue>,
}

const RELATIONS: [Relation; 4] = [
    Relation {
        name: "order",
        of: order,
    },
    Relation {
        name: "currency",
        of: |p| raw(&Members(vec![("code", raw(&currency(p)))])),
    },
    Relation {
        name: "cart",
        of: |_| raw(&()),
    },
    Relation {
        name: "swap",
        of: |_| raw(&()),
    },
];

/// What is known of the order, or null. The shop keeps the rest.
pub(super) fn order(payment: &PaymentView) -> Box<RawValue> {
    let members = payment.order.as_ref().map(|id| {
        Members(vec![
            ("object", raw("order")),
            ("id", raw(id)),
            ("customer_id", raw(&payment.customer)),
            ("currency_code", raw(&currency(payment))),
        ])
    });
    raw(&members)
}

/// All 15 members.
pub(super) fn row(payment: &PaymentView) -> Members {
    let all = Selection {
        fields: FIELDS.iter().map(|field| field.name).collect(),
        relations: Vec::new(),
    };
    all.of(payment)
}

fn currency(payment: &PaymentView) -> String {
    payment.currency.code().to_ascii_lowercase()
}

/// An object that was registered with the payment, as it was written.
fn profile_object(payment: &PaymentView, name: &str) -> Option<Box<RawValue>> {
    let profile = json::read(payment.profile.as_bytes()).ok()?.object()?;
    let member = profile.member(name)?;
    member.object()?;
    RawValue::from_string(member.text().to_owned()).ok()
}

fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("texts, numbers and nulls have a JSON text")
}

/// A JSON object, in order.
pub(super) struct Members(pub(super) Vec<(&'static str, Box<RawValue>)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Which members of a payment an answer shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    fields: Vec<&'static str>,
    relations: Vec<&'static str>,
}

impl Selection {
    /// Reads a query: at most `fields` and `expand`, each once.
    pub(super) fn read(query: &[(String, String)]) -> Result<Selection, Failure> {
        let mut complaints: Vec<String> = Vec::new();
        for (name, _) in query {
            // `fields[]=id` is a list and `fields[a]=id` an object, of the name before the bracket.
            let name = stem(name);
            let complaint = format!("property {name} should not exist");
            let is_known = matches!(name, "expand" | "fields" | "");
            if !is_known && !complaints.contains(&complaint) {
                complaints.push(complaint);
            }
        }
        let expand = only_text(query, "expand", &mut complaints);
        let fields = only_text(query, "fields", &mut complaints);
        if !complaints.is_empty() {
            return Err(Failure::invalid(complaints.join(", ")));
        }
        let mut relations = listed(expand.unwrap_or_default())
            .map(|name| relation(name).ok_or_else(|| unknown_name("expand", name)))
            .collect::<Result<Vec<&'static str>, Failure>>()?;
        let fields = match fields {
            None => defaults(),
            Some(text) => chosen(text, &mut relations)?,
        };
        Ok(Selection { fields, relations })
    }

    pub(super) fn of(&self, payment: &PaymentView) -> Members {
        let fields = FIELDS
            .iter()
            .filter(|field| self.fields.contains(&field.name))
            .map(|field| (field.name, (field.of)(payment)));
        let relations = RELATIONS
            .iter()
            .filter(|relation| self.relations.contains(&relation.name))
            .map(|relation| (relation.name, (relation.of)(payment)));
        Members(fields.chain(relations).collect())
    }
}

fn stem(name: &str) -> &str {
    match name.find('[') {
        None | Some(0) => name,
        Some(at) => &name[..at],
    }
}

/// The text of a parameter that is given once and plainly, if it is given.
fn only_text<'q>(
    query: &'q [(String, String)],
    name: &str,
    complaints: &mut Vec<String>,
) -> Option<&'q str> {
    let given: Vec<_> = query
        .iter()
        .filter(|(sent, _)| stem(sent) == name)
        .collect();
    match given.as_slice() {
        [] => None,
        [(sent, text)] if sent == name => Some(text),
        _ => {
            complaints.push(format!("{name} must be a string"));
            None
        }
    }
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|name| !name.is_empty())
}

fn relation(name: &str) -> Option<&'static str> {
    let found = RELATIONS.iter().find(|relation| relation.name == name)?;
    Some(found.name)
}

fn defaults() -> Vec<&'static str> {
    let defaults = FIELDS.iter().filter(|field| field.is_default);
    defaults.map(|field| field.name).collect()
}

/// What a list of fields chooses. A member of the order (`order.id`) brings the order.
fn chosen(text: &str, relations: &mut Vec<&'static str>) -> Result<Vec<&'static str>, Failure> {
    let changes = |name: &str| name.starts_with(['+', '-']);
    let adds_only = text.contains(|c| c != ',') && listed(text).all(changes);
    let mut fields = if adds_only { defaults() } else { vec!["id"] };
    for name in listed(text) {
        let bare = name.strip_prefix(['+', '-']).unwrap_or(name);
        if adds_only && name.starts_with('-') {
            fields.retain(|&field| field != bare || field == "id");
            continue;
        }
        match FIELDS.iter().find(|field| field.name == bare) {
            Some(field) => fields.push(field.name),
            None if bare == "order.id" => relations.push("order"),
            None => return Err(unknown_name("fields", bare)),
        }
    }
    Ok(fields)
}

fn unknown_name(parameter: &str, name: &str) -> Failure {
    Failure::invalid(format!("{parameter} has an unknown name: {name}"))
}

#[cfg(test)]
mod tests {
    use requite_core::currency::Currency;
    use requite_core::id::{CaptureId, LegId};
    use requite_core::money::Minor;
    use requite_core::payment::LegKind;
    use requite_engine::read::{CaptureView, LegView};

    use super::*;

    fn payment() -> PaymentView {
        let minor = |units| Minor::new(units).expect("an amount");
        let capture = CaptureView {
            id: CaptureId::new(3),
            amount: minor(10_000),
            refunded: minor(0),
            at_ms: 1_726_403_265_123,
        };
        let leg = LegView {
            id: LegId::new(2),
            kind: LegKind::PaymentMethod,
            amount: minor(10_000),
            captures: vec![capture],
            releases: Vec::new(),
        };
        PaymentView {
            merchant: MerchantId::new(1),
            id: PaymentId::new(0x0191_f5a7_44d3_7430_8739_2d80_8214_16bf),
            currency: Currency::parse("EUR").expect("listed"),
            legs: vec![leg],
            refunds: Vec::new(),
            connector: "manual".to_owned(),
            connector_payment: None,
            external_identifier: None,
            order: Some("order_1".to_owned()),
            customer: None,
            description: None,
            aliases: Vec::new(),
            profile: r#"{"metadata":{"rate":1.10},"source":{}}"#.to_owned(),
            created_at_ms: 0,
            updated_at_ms: 1,
            cancelled_at_ms: None,
            seq: 1,
        }
    }

    fn selection(query: &[(&str, &str)]) -> Result<Selection, String> {
        let owned: Vec<_> = query
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        Selection::read(&owned).map_err(|failure| match failure {
            Failure::Complaint(complaint) => complaint.text().to_owned(),
            other => format!("{other:?}"),
        })
    }

    fn shown(query: &[(&str, &str)]) -> String {
        let selection = selection(query).expect("known names");
        serde_json::to_string(&selection.of(&payment())).expect("an object")
    }

    #[test]
    fn a_payment_shows_its_twelve_members() {
        assert_eq!(
            shown(&[]),
            r#"{"id":"pay_01J7TTEH6KEGR8EE9DG21185NZ","swap_id":null,"cart_id":null,"#.to_owned()
                + r#""order_id":"order_1","amount":10000,"currency_code":"eur","amount_refunded":0,"#
                + r#""provider_id":"manual","data":{},"captured_at":"2024-09-15T12:27:45.123Z","#
                + r#""canceled_at":null,"metadata":{"rate":1.10}}"#
        );
    }

    #[test]
    fn fields_replace_add_and_take_away() {
        let id = r#""id":"pay_01J7TTEH6KEGR8EE9DG21185NZ""#;
        for (fields, object) in [
            (
                "amount,currency_code",
                format!(r#"{{{id},"amount":10000,"currency_code":"eur"}}"#),
            ),
            ("", format!("{{{id}}}")),
            (
                "amount,-data",
                format!(r#"{{{id},"amount":10000,"data":{{}}}}"#),
            ),
            (
                "amount,order.id",
                format!(
                    r#"{{{id},"amount":10000,"order":{{"object":"order","id":"order_1","customer_id":null,"currency_code":"eur"}}}}"#
                ),
            ),
        ] {
            assert_eq!(shown(&[("fields", fields)]), object, "{fields}");
        }
        assert!(
            shown(&[("fields", "+created_at")])
                .ends_with(r#""metadata":{"rate":1.10},"created_at":"1970-01-01T00:00:00.000Z"}"#)
        );
        assert!(!shown(&[("fields", "-data,-id,-nope")]).contains("data\":{}"));
        assert!(shown(&[("fields", "-data,-id")]).contains(id));
        let expanded = shown(&[("expand", "currency,cart")]);
        assert!(
            expanded.ends_with(r#","currency":{"code":"eur"},"cart":null}"#),
            "{expanded}"
        );
    }

    #[test]
    fn a_query_that_cannot_be_met_is_refused() {
        for (query, message) in [
            (&[("foo", "1")][..], "property foo should not exist"),
            (
                &[("fields", "a"), ("fields", "b")],
                "fields must be a string",
            ),
            (&[("fields[]", "a")], "fields must be a string"),
            (
                &[("expand[a]", "b"), ("x[y]", "1"), ("x[z]", "1")],
                "property x should not exist, expand must be a string",
            ),
            (&[("fields", "nope")], "fields has an unknown name: nope"),
            (
                &[("fields", " created_at")],
                "fields has an unknown name:  created_at",
            ),
            (
                &[("expand", "order.items")],
                "expand has an unknown name: order.items",
            ),
        ] {
            assert_eq!(selection(query), Err(message.to_owned()), "{query:?}");
        }
    }
}

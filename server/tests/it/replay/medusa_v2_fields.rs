//! The members that ours adds to Medusa v2's payment (V2-1): where they stand, and that they are true.

use super::compare::Dialect;
use super::money::minor;
use super::tree::Tree;
use crate::support::Response;

/// How answers of this dialect are compared.
pub(super) struct V2 {
    /// The members that this selection adds by V2-1.
    pub(super) added: Vec<&'static str>,
    /// Captures that the payment had before any line ran.
    pub(super) given_captures: usize,
}

impl V2 {
    fn is_given(&self, path: &str) -> bool {
        let place = path.strip_prefix("/payment/captures/");
        let place = place.and_then(|rest| rest.split('/').next()?.parse::<usize>().ok());
        place.is_some_and(|place| place < self.given_captures)
    }
}

impl Dialect for V2 {
    fn ordered(&self) -> bool {
        true
    }

    fn judge(&self, path: &str, recorded: &Tree, ours: &Tree) -> Option<Result<(), String>> {
        let last = path.rsplit('/').next().unwrap_or_default();
        match (last, recorded, ours) {
            // A capture that came with the registration was made elsewhere, and is nobody's here.
            ("created_by", Tree::Text(_), Tree::Null) if self.is_given(path) => Some(Ok(())),
            ("token", Tree::Text(_), Tree::Text(jwt)) if jwt.split('.').count() == 3 => {
                Some(Ok(()))
            }
            ("token", Tree::Text(was), Tree::Text(is)) if was.len() == 67 => {
                let same = was[..3] == is[..3] && is.len() == 67;
                let right = same && is.bytes().skip(3).all(|c| c.is_ascii_hexdigit());
                Some(if right { Ok(()) } else { Err("not a key's secret".to_owned()) })
            }
            ("redacted", Tree::Text(was), Tree::Text(is)) => {
                let right = was[..3] == is[..3] && is[6..].starts_with("***") && is.len() == 12;
                Some(if right { Ok(()) } else { Err(format!("not redacted: {is:?}")) })
            }
            ("iat" | "exp", Tree::Number(_), Tree::Number(_)) => Some(Ok(())),
            ("id", Tree::Text(_), Tree::Text(is)) if path.starts_with("/payment_providers/") => {
                let listed = ["pp_sandbox_sandbox", "pp_system_default"];
                let right = path.ends_with("/0/id") || *is == listed[1];
                let right = right && listed.contains(&is.as_str());
                Some(if right { Ok(()) } else { Err(format!("not a provider: {is:?}")) })
            }
            // The provider's own object, and its name: properties of the registration.
            ("data", Tree::Object(_), Tree::Object(_)) => Some(Ok(())),
            ("provider_id", Tree::Text(was), Tree::Text(is)) if was != "pp_system_default" => {
                let right = is.starts_with("pp_");
                Some(if right { Ok(()) } else { Err(format!("not a provider's id: {is:?}")) })
            }
            _ => None,
        }
    }

    fn addition(&self, path: &str) -> Option<&'static str> {
        let name = match path.strip_prefix("/payments/") {
            Some(item) => item.split_once('/')?.1,
            None => path.strip_prefix("/payment/")?,
        };
        self.added.contains(&name).then_some("V2-1")
    }
}

/// The members that the published page shows and the real server's defaults leave out (V2-1).
const ADDED: [&str; 8] = [
    "authorized_amount",
    "captured_amount",
    "refunded_amount",
    "provider_id",
    "data",
    "created_at",
    "updated_at",
    "canceled_at",
];

/// Which of the added members a selection shows: all where the defaults hold, else the named ones.
pub(super) fn added(target: &str) -> Vec<&'static str> {
    let Some(fields) = selection(target) else {
        return ADDED.to_vec();
    };
    let changes = |part: &&str| part.starts_with(['+', '-', '*', ' ']) || part.ends_with(".*");
    if !fields.trim_matches(',').is_empty() && fields.split(',').all(|part| changes(&part)) {
        let gone = |name: &str| fields.split(',').any(|part| part.strip_prefix('-') == Some(name));
        return ADDED.iter().copied().filter(|name| !gone(name)).collect();
    }
    ADDED
        .iter()
        .copied()
        .filter(|name| fields.split(',').any(|part| part.trim() == *name))
        .collect()
}

/// The value of `fields`, decoded as far as selections need it.
fn selection(target: &str) -> Option<String> {
    let query = target.split_once('?')?.1;
    let fields = query.split('&').find_map(|pair| pair.strip_prefix("fields="))?;
    let mut fields = fields.replace('+', " ");
    for (escape, plain) in [("%2B", "+"), ("%2C", ","), ("%2A", "*"), ("%20", " ")] {
        fields = fields.replace(escape, plain);
    }
    Some(fields)
}

/// The payments that a body shows: one, or a list of them.
pub(super) fn payments(body: &mut Tree) -> impl Iterator<Item = &mut Tree> {
    let members = match body {
        Tree::Object(members) => members.as_mut_slice(),
        _ => &mut [],
    };
    members.iter_mut().flat_map(|(name, value)| match (name.as_str(), value) {
        ("payment", one) => std::slice::from_mut(one),
        ("payments", Tree::List(list)) => list.as_mut_slice(),
        _ => &mut [],
    })
}

/// Where the defaults hold, the added members are there, and the sums are the sums of the lists.
pub(super) fn published(
    answer: &Response,
    target: &str,
    exponent: impl Fn(&str) -> usize,
) -> Vec<String> {
    let Ok(mut body) = Tree::read(&answer.body) else {
        return Vec::new();
    };
    if target.contains("fields=") || answer.status != 200 {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for payment in payments(&mut body) {
        let id = payment.member("id").and_then(Tree::text).unwrap_or_default();
        problems.extend(unpublished(payment, exponent(id)));
    }
    problems
}

fn unpublished(payment: &Tree, exponent: usize) -> Vec<String> {
    let units = |value: Option<&Tree>| value.and_then(|v| minor(&v.to_string(), exponent));
    let sum = |list: &str| {
        let items = payment.member(list).and_then(Tree::list).unwrap_or_default();
        items.iter().map(|item| units(item.member("amount"))).sum::<Option<i64>>()
    };
    let mut problems: Vec<String> = ADDED
        .iter()
        .filter(|name| payment.member(name).is_none())
        .map(|name| format!("V2-1 wants {name}"))
        .collect();
    for (name, wanted) in [
        ("authorized_amount", units(payment.member("amount"))),
        ("captured_amount", sum("captures")),
        ("refunded_amount", sum("refunds")),
    ] {
        if units(payment.member(name)) != wanted {
            problems.push(format!(
                "{name} is {:?}, wanted {wanted:?} minor units",
                payment.member(name)
            ));
        }
    }
    problems
}

#[test]
fn added_members_follow_the_selection() {
    assert_eq!(added("/p").len(), 8);
    assert_eq!(added("/p?fields=%2Bmetadata,*refunds").len(), 8);
    assert_eq!(added("/p?fields=-data").len(), 7);
    assert_eq!(added("/p?fields=id,authorized_amount"), ["authorized_amount"]);
    assert!(added("/p?fields=").is_empty());
}

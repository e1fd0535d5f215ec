//! The query string, as `qs` reads it: `a=1&a=2` and `a[]=1` are lists, `a[x]=1` is an object.

/// Parameters in the order in which their names first appear.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, Value)>);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    /// Members by name; repeated ones in order.
    Object(Vec<(String, String)>),
}

/// Different names that are read; no list has so many, so a query with more is refused as it is.
const NAMES_MAX: usize = 256;

impl Query {
    /// Reads what stands behind the `?`. Nothing is refused here: an escape that cannot be decoded
    /// stays as it is, as in the original.
    pub(super) fn read(query: Option<&str>) -> Query {
        let mut read = Query::default();
        let parts = query.unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            read.add(&decoded(name), decoded(value));
        }
        read
    }

    pub(super) fn add(&mut self, name: &str, value: String) {
        let bracketed = name.strip_suffix(']').and_then(|name| name.split_once('['));
        let (base, inner) = match bracketed {
            Some((base, inner)) if !base.is_empty() => (base, Some(inner)),
            _ => (name, None),
        };
        let is_item = inner.is_none_or(|inner| inner.bytes().all(|byte| byte.is_ascii_digit()));
        let is_full = self.0.len() >= NAMES_MAX;
        let known = self.0.iter_mut().find(|(have, _)| have == base);
        match (known.map(|(_, value)| value), inner) {
            (None, _) if is_full => {}
            (None, None) => self.0.push((base.to_owned(), Value::Text(value))),
            (None, Some(_)) if is_item => {
                self.0.push((base.to_owned(), Value::List(vec![value])));
            }
            (None, Some(inner)) => {
                let members = vec![(inner.to_owned(), value)];
                self.0.push((base.to_owned(), Value::Object(members)));
            }
            (Some(Value::Object(members)), inner) => {
                members.push((inner.unwrap_or_default().to_owned(), value));
            }
            (Some(Value::List(items)), _) => items.push(value),
            (Some(text @ Value::Text(_)), _) => {
                let first = std::mem::replace(text, Value::List(Vec::new()));
                if let Value::Text(first) = first {
                    *text = Value::List(vec![first, value]);
                }
            }
        }
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Value {
    /// As JavaScript turns it into text.
    pub(super) fn script_text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(","),
            Value::Object(_) => "[object Object]".to_owned(),
        }
    }
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    let mut bytes = Vec::with_capacity(spaced.len());
    let mut rest = spaced.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let escaped =
            after.split_at_checked(2).and_then(|(digits, after)| Some((escaped(digits)?, after)));
        let Some((byte, after)) = escaped else {
            return spaced;
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or(spaced)
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_qs_reads_them() {
        for (query, name, text) in [
            ("fields=a%2Cb", "fields", Some("a,b")),
            ("fields=+a", "fields", Some(" a")),
            ("fields=%2Ba", "fields", Some("+a")),
            ("fields=a&fields=b", "fields", Some("a,b")),
            ("fields[]=a&fields[]=b", "fields", Some("a,b")),
            ("fields%5B0%5D=a&fields%5B1%5D=b", "fields", Some("a,b")),
            ("fields[$in][]=a", "fields", Some("[object Object]")),
            ("fields", "fields", Some("")),
            ("&&fields=", "fields", Some("")),
            ("fields=%zz+%", "fields", Some("%zz %")),
            ("fields=%ff", "fields", Some("%ff")),
            ("foo=1", "fields", None),
        ] {
            let read = Query::read(Some(query));
            let value = read.value(name).map(Value::script_text);
            assert_eq!(value.as_deref(), text, "{query}");
        }
        assert_eq!(Query::read(None), Query::default());
    }
}

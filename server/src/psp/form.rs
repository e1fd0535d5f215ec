//! Form-encoded parameters with brackets: `metadata[order]=7`, `expand[]=charge`.

use super::books::Metadata;

/// Parameters of a query or a body, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub pairs: Vec<(String, String)>,
}

impl Form {
    /// `None`: an escape or the text behind it is none.
    pub(crate) fn parse(text: &str) -> Option<Form> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        Some(Form { pairs: pairs.collect::<Option<Vec<_>>>()? })
    }

    /// The last value of a parameter.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut given = self.pairs.iter().rev();
        given.find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The values of `name[]`, `name[0]`, ...
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        self.members(name).map(|(_, value)| value).collect()
    }

    /// The members of `name[...]`.
    pub(crate) fn members<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().filter_map(move |(given, value)| {
            let rest = given.strip_prefix(name)?.strip_prefix('[')?;
            Some((rest.strip_suffix(']')?, value.as_str()))
        })
    }

    /// `old` with what `metadata[...]` changes: an empty value takes a member away, and an empty
    /// `metadata` all of them.
    pub(crate) fn metadata(&self, old: &Metadata) -> Metadata {
        let mut metadata =
            if self.one("metadata") == Some("") { Metadata::new() } else { old.clone() };
        for (name, value) in self.members("metadata") {
            if value.is_empty() {
                metadata.remove(name);
            } else {
                metadata.insert(name.to_owned(), value.to_owned());
            }
        }
        metadata
    }

    /// The first name, without brackets, that is not one of these.
    pub(crate) fn stranger(&self, known: &[&str]) -> Option<&str> {
        let roots = self.pairs.iter().map(|(name, _)| name.split('[').next().unwrap_or_default());
        roots.into_iter().find(|root| !known.contains(root))
    }

    /// The same parameters in a fixed order.
    pub(crate) fn canonical(&self) -> String {
        let mut pairs = self.pairs.clone();
        pairs.sort();
        let lines: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join("\n")
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(char::from);
                let digits: String =
                    digits.iter().filter(|digit| digit.is_ascii_hexdigit()).collect();
                if digits.len() < 2 {
                    return None;
                }
                u8::from_str_radix(&digits, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

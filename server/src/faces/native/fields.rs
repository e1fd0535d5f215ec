//! Reads the members of a JSON object, strictly, and collects everything that is wrong instead of
//! stopping at the first fault.

use requite_core::money::Minor;

use crate::json::{Json, Object, Value, integer};

/// Most faults that one answer lists.
pub(crate) const FAULTS_MAX: usize = 20;

/// One thing that is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// JSON pointer; empty is the body as a whole.
    pub pointer: String,
    pub message: String,
}

/// Members of one object. `null` is the same as absent, unless a reader asks [`Fields::is_named`].
pub(crate) struct Fields<'a> {
    object: Object<'a>,
    /// Pointer of the object.
    at: String,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Opens `json` at `at`; members other than `known`, and repeated ones, are faults.
    pub(crate) fn open(json: Json<'a>, at: &str, known: &[&str]) -> Result<Fields<'a>, Fault> {
        let object = json.object().ok_or_else(|| Fault {
            pointer: at.to_owned(),
            message: "must be an object".to_owned(),
        })?;
        let mut fields = Fields { object, at: at.to_owned(), faults: Vec::new() };
        if let Some(name) = fields.object.repeated_name().map(str::to_owned) {
            fields.fault(&escaped(&name), "is given twice; give it once");
        }
        if let Some(name) = fields.object.name_outside(known).map(str::to_owned) {
            fields.fault(&escaped(&name), format!("is not known; there are {}", known.join(", ")));
        }
        Ok(fields)
    }

    /// `name` may be a path of several members.
    pub(crate) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("{}/{name}", self.at), message: message.into() });
    }

    /// Takes over the faults of a part.
    pub(crate) fn add(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The pointer of a member.
    pub(crate) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    pub(crate) fn member(&self, name: &str) -> Option<Json<'a>> {
        self.object.member(name).filter(|value| !value.is_null())
    }

    /// Text of 1 to `max` bytes without NUL.
    pub(crate) fn text(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.member(name)?;
        match value.string() {
            Some(text) if is_text(&text, max) => Some(text),
            _ => {
                self.fault(name, text_rule(max));
                None
            }
        }
    }

    /// A list; absent is empty.
    pub(crate) fn list(&mut self, name: &str, max: usize) -> Vec<Json<'a>> {
        match self.member(name).map(Json::value) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() <= max => items,
            Some(Value::Array(items)) => {
                let found = items.len();
                self.fault(name, format!("has {found} items; at most {max} are taken"));
                Vec::new()
            }
            Some(_) => {
                self.fault(name, "must be a list");
                Vec::new()
            }
        }
    }

    /// Texts of a list, each of 1 to `max` bytes.
    pub(crate) fn texts(&mut self, name: &str, count_max: usize, max: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for (at, item) in self.list(name, count_max).into_iter().enumerate() {
            match item.string() {
                Some(text) if is_text(&text, max) => texts.push(text),
                _ => self.fault(&format!("{name}/{at}"), text_rule(max)),
            }
        }
        texts
    }

    /// A whole number of minor units, above zero unless `may_be_zero`.
    pub(crate) fn amount(&mut self, name: &str, may_be_zero: bool) -> Option<Minor> {
        let value = self.member(name)?;
        let amount = match value.value() {
            Value::Number(raw) => integer(raw).ok().and_then(Minor::new),
            _ => None,
        };
        match amount {
            Some(amount) if may_be_zero || !amount.is_zero() => Some(amount),
            _ => {
                self.fault(name, AMOUNT_RULE);
                None
            }
        }
    }

    /// Any integer; what it may be is decided elsewhere.
    pub(crate) fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.member(name)?;
        let number = match value.value() {
            Value::Number(raw) => integer(raw).ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault(name, "must be a whole number of minor units");
        }
        number
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.member(name)?.value() {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// Is the member there, though it may be null?
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.object.member(name).is_some()
    }

    /// A time as RFC 3339 writes it, in ms since 1970.
    pub(crate) fn time(&mut self, name: &str) -> Option<i64> {
        let value = self.member(name)?;
        let ms = value.string().and_then(|text| crate::time::parse(&text));
        let ms = ms.filter(|ms| (0..=TIME_MS_MAX).contains(ms));
        if ms.is_none() {
            self.fault(
                name,
                "must be a time since 1970 as RFC 3339 writes it, such as 2024-09-15T12:27:45Z",
            );
        }
        ms
    }

    /// An object as it was written, at most `max` bytes.
    pub(crate) fn object(&mut self, name: &str, max: usize) -> Option<Json<'a>> {
        let value = self.member(name)?;
        let is_taken = value.object().is_some() && value.text().len() <= max;
        if is_taken && !value.contains_nul() {
            return Some(value);
        }
        self.fault(name, format!("must be an object of at most {max} bytes, without NUL"));
        None
    }
}

/// A member's name inside a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

const AMOUNT_RULE: &str =
    "must be a whole number of minor units from 1 to 9007199254740991, such as 1299 for 12.99 EUR";

/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

fn is_text(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && !text.contains('\0')
}

fn text_rule(max: usize) -> String {
    format!("must be text of 1 to {max} bytes, without NUL")
}

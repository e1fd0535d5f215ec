//! Which members an answer shows: the query's `fields` and `expand`, and objects in order.
//!
//! `fields` is a comma list. Plain names replace the default set; if all begin with `+` or `-`, they
//! are added to it or taken away. `id` is always there. `expand` is a comma list of what is shown
//! besides. An unknown name is 400 (decision V1-9).

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::failure::Failure;

/// Parameters that are read; those behind them are passed over, as in the original.
const PARAMETERS_MAX: usize = 1_000;

/// A member of a `T`.
pub(super) struct Field<T> {
    pub name: &'static str,
    /// Shown unless others are asked for. Of a relation: unless `expand` is there.
    pub is_default: bool,
    pub of: fn(&T) -> Box<RawValue>,
}

pub(super) const fn field<T>(name: &'static str, of: fn(&T) -> Box<RawValue>) -> Field<T> {
    let is_default = true;
    Field { name, is_default, of }
}

/// A field that is shown only on demand.
pub(super) const fn further<T>(name: &'static str, of: fn(&T) -> Box<RawValue>) -> Field<T> {
    let is_default = false;
    Field { name, is_default, of }
}

/// All that can be shown of a `T`.
pub(super) struct Shape<T: 'static> {
    pub fields: &'static [Field<T>],
    /// What stands beside it. One with a dot (`order.id`) is chosen by `fields`, and shown under the
    /// name before the dot.
    pub relations: &'static [Field<T>],
}

/// What is chosen of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    fields: Vec<&'static str>,
    relations: Vec<&'static str>,
}

impl Selection {
    /// Reads a query: at most `fields` and `expand`, each once.
    pub(super) fn read<T>(
        query: &[(String, String)],
        shape: &Shape<T>,
    ) -> Result<Selection, Failure> {
        let query = query.get(..PARAMETERS_MAX).unwrap_or(query);
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
        let mut relations = match expand {
            None => defaults(shape.relations),
            Some(text) => listed(text)
                .map(|name| {
                    let found = named(shape.relations, name).filter(|name| !name.contains('.'));
                    found.ok_or_else(|| unknown_name("expand", name))
                })
                .collect::<Result<Vec<&'static str>, Failure>>()?,
        };
        let fields = match fields {
            None => defaults(shape.fields),
            Some(text) => chosen(text, shape, &mut relations)?,
        };
        Ok(Selection { fields, relations })
    }

    /// Is this field or relation chosen?
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains(&name) || self.relations.contains(&name)
    }

    pub(super) fn add_fields(&mut self, names: &[&'static str]) {
        self.fields.extend(names);
    }

    pub(super) fn add_relations(&mut self, names: &[&'static str]) {
        self.relations.extend(names);
    }

    pub(super) fn of<T>(&self, shape: &Shape<T>, shown: &T) -> Members {
        let fields = shape.fields.iter().filter(|field| self.fields.contains(&field.name));
        let relations = shape.relations.iter().filter(|field| self.shows(field.name));
        let members = fields
            .chain(relations)
            .map(|field| (field.name.split('.').next().unwrap_or_default(), (field.of)(shown)));
        Members(members.collect())
    }

    /// A member of a relation is not shown beside all of it.
    fn shows(&self, relation: &str) -> bool {
        let whole = relation.split_once('.').map(|(whole, _)| whole);
        let is_covered = whole.is_some_and(|whole| self.relations.contains(&whole));
        self.relations.contains(&relation) && !is_covered
    }
}

/// All fields, and nothing beside them.
pub(super) fn all_of<T>(fields: &[Field<T>], shown: &T) -> Members {
    Members(fields.iter().map(|field| (field.name, (field.of)(shown))).collect())
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
    let given: Vec<_> = query.iter().filter(|(sent, _)| stem(sent) == name).collect();
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

fn named<T>(fields: &[Field<T>], name: &str) -> Option<&'static str> {
    fields.iter().find(|field| field.name == name).map(|field| field.name)
}

fn defaults<T>(fields: &[Field<T>]) -> Vec<&'static str> {
    fields.iter().filter(|field| field.is_default).map(|field| field.name).collect()
}

/// What a list of fields chooses. A member of a relation (`order.id`) brings that.
fn chosen<T>(
    text: &str,
    shape: &Shape<T>,
    relations: &mut Vec<&'static str>,
) -> Result<Vec<&'static str>, Failure> {
    let changes = |name: &str| name.starts_with(['+', '-']);
    let adds_only = text.contains(|c| c != ',') && listed(text).all(changes);
    let mut fields = if adds_only { defaults(shape.fields) } else { vec!["id"] };
    for name in listed(text) {
        let bare = name.strip_prefix(['+', '-']).unwrap_or(name);
        if adds_only && name.starts_with('-') {
            fields.retain(|&field| field != bare || field == "id");
            continue;
        }
        let member = named(shape.relations, bare).filter(|name| name.contains('.'));
        match (named(shape.fields, bare), member) {
            (Some(field), _) => fields.push(field),
            (None, Some(member)) => relations.push(member),
            (None, None) => return Err(unknown_name("fields", bare)),
        }
    }
    Ok(fields)
}

fn unknown_name(parameter: &str, name: &str) -> Failure {
    Failure::invalid(format!("{parameter} has an unknown name: {name}"))
}

pub(super) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("texts, numbers and nulls have a JSON text")
}

/// A JSON object, in order.
pub(super) struct Members(pub(super) Vec<(&'static str, Box<RawValue>)>);

impl Members {
    /// Shows something else under a name, if it is there.
    pub(super) fn replace(&mut self, name: &str, value: &impl Serialize) {
        for (_, shown) in self.0.iter_mut().filter(|(known, _)| *known == name) {
            *shown = raw(value);
        }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

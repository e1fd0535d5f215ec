//! JSON that keeps what `serde_json`'s own value forgets: the order of members, which is part of
//! what some clients compare.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
    /// Stands in an expectation for any value at all; never read from a body.
    Any,
}

impl Tree {
    pub(super) fn read(body: &[u8]) -> Result<Tree, String> {
        serde_json::from_slice(body)
            .map_err(|e| format!("{e} in {:?}", String::from_utf8_lossy(body)))
    }

    pub(super) fn member(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(members) => members.iter().find(|(have, _)| have == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value at `/a/0/b`.
    pub(super) fn at(&self, path: &str) -> Option<&Tree> {
        path.split('/').skip(1).try_fold(self, |tree, step| match tree {
            Tree::List(items) => items.get(step.parse::<usize>().ok()?),
            other => other.member(step),
        })
    }

    /// As [`Tree::at`], to be changed.
    pub(super) fn at_mut(&mut self, path: &str) -> Option<&mut Tree> {
        path.split('/').skip(1).try_fold(self, |tree, step| match tree {
            Tree::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            Tree::Object(members) => {
                members.iter_mut().find(|(have, _)| have == step).map(|(_, v)| v)
            }
            _ => None,
        })
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Option<&[Tree]> {
        match self {
            Tree::List(items) => Some(items),
            _ => None,
        }
    }

    /// One word for the kind of value, for messages and for comparing kinds.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Bool(_) => "boolean",
            Tree::Number(_) => "number",
            Tree::Text(_) => "text",
            Tree::List(_) => "list",
            Tree::Object(_) => "object",
            Tree::Any => "anything",
        }
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Tree {
        match value {
            Value::Null => Tree::Null,
            Value::Bool(b) => Tree::Bool(*b),
            Value::Number(n) => Tree::Number(n.clone()),
            Value::String(s) => Tree::Text(s.clone()),
            Value::Array(items) => Tree::List(items.iter().map(Tree::from).collect()),
            Value::Object(members) => {
                Tree::Object(members.iter().map(|(k, v)| (k.clone(), Tree::from(v))).collect())
            }
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Null => f.write_str("null"),
            Tree::Bool(b) => write!(f, "{b}"),
            Tree::Number(n) => write!(f, "{n}"),
            Tree::Text(s) => write!(f, "{s:?}"),
            Tree::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Tree::Object(members) => {
                f.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{name:?}:{value}", if i == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
            Tree::Any => f.write_str("<any>"),
        }
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Tree, E> {
        Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

#[test]
fn a_body_keeps_its_order_and_is_found_by_path() {
    let tree = Tree::read(br#"{"b":[1,{"x":null}],"a":"t"}"#).expect("JSON");
    assert_eq!(tree.to_string(), r#"{"b":[1,{"x":null}],"a":"t"}"#);
    assert_eq!(tree.at("/b/1/x"), Some(&Tree::Null));
    assert_eq!(tree.at("/b/2"), None);
    assert!(Tree::read(b"{bad").is_err());
}

//! The `fields` parameter: which members of an entity an answer shows, and in which order.
//!
//! One comma separated string. Every part prefixed (`+`, `-`, `*`, or a `.*` behind): the defaults
//! are changed. Any part bare: the whole list takes their place. A name with dots reaches into a
//! relation; a star takes all columns of one. Unknown names are nobody's business and are skipped.
//!
//! Invariants:
//! - `id` is always shown: where it was first named, else last among the scalars.
//! - Scalars stand in the order of selection, then relations in theirs; a starred entity shows its
//!   columns in table order.
//! - With any selection inside a relation to a parent, its foreign key is shown too.
//!
//! Start at [`Selection::read`] and [`render`].

/// Parts of one `fields` parameter. The longest list anyone needs names every column: about 60.
pub(super) const FIELDS_MAX: usize = 256;

/// Names are at most this many relations deep; nothing known lies deeper than three.
const DEPTH_MAX: usize = 6;

/// What is shown without `fields`, and what `+`, `-` and `*` change.
pub(super) struct Defaults {
    pub fields: &'static [&'static str],
    /// Shown behind everything else (decision V2-1).
    pub tail: &'static [&'static str],
}

/// What is asked for of one entity.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Starred: every column.
    is_whole: bool,
    scalars: Vec<String>,
    relations: Vec<(String, Selection)>,
    tail: Vec<&'static str>,
}

/// More than [`FIELDS_MAX`] parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Selection {
    /// Reads the parameter; `None` is its absence.
    pub(super) fn read(fields: Option<&str>, defaults: &Defaults) -> Result<Selection, TooMany> {
        let mut list: Vec<&str> = defaults.fields.to_vec();
        let mut tail = defaults.tail.to_vec();
        if let Some(fields) = fields {
            let parts: Vec<&str> = fields.split(',').filter(|part| !part.is_empty()).collect();
            if parts.len() > FIELDS_MAX {
                return Err(TooMany);
            }
            if parts.is_empty() || parts.iter().any(|part| !is_change(part)) {
                list = parts.into_iter().map(bare).collect();
                tail.clear();
            } else {
                for part in parts {
                    change(&mut list, &mut tail, part);
                }
            }
            list.push("id");
        }
        let mut selection = Selection::default();
        for path in list {
            selection.add(path);
        }
        selection.tail = tail;
        Ok(selection)
    }

    fn add(&mut self, path: &str) {
        let starred = path.strip_prefix('*').or_else(|| path.strip_suffix(".*"));
        let names: Vec<&str> = starred.unwrap_or(path).split('.').collect();
        if names.len() > DEPTH_MAX || names.iter().any(|name| name.is_empty()) {
            return;
        }
        let (relations, scalar) = match (starred, names.split_last()) {
            (None, Some((scalar, relations))) => (relations, Some(*scalar)),
            _ => (names.as_slice(), None),
        };
        let inner = relations.iter().fold(self, |entity, name| entity.relation(name));
        match scalar {
            Some(scalar) => inner.scalars.push(scalar.to_owned()),
            None => inner.is_whole = true,
        }
    }

    fn relation(&mut self, name: &str) -> &mut Selection {
        let known = self.relations.iter().position(|(have, _)| have == name);
        let at = known.unwrap_or_else(|| {
            self.relations.push((name.to_owned(), Selection::default()));
            self.relations.len().saturating_sub(1)
        });
        &mut self.relations[at].1
    }

    fn chosen(&self, relation: &str) -> Option<&Selection> {
        let found = self.relations.iter().find(|(name, _)| name == relation);
        found.map(|(_, selection)| selection)
    }
}

fn is_change(part: &str) -> bool {
    part.starts_with(['+', '-', ' ', '*']) || part.ends_with(".*")
}

/// A part of a list that takes the defaults' place: of its prefix only a star means anything.
fn bare(part: &str) -> &str {
    part.trim().trim_start_matches(['+', '-']).trim_start_matches(' ')
}

fn change<'a>(list: &mut Vec<&'a str>, tail: &mut Vec<&'static str>, part: &'a str) {
    let Some(removed) = part.strip_prefix('-') else {
        let added = part.trim().trim_start_matches('+');
        if !list.contains(&added) {
            list.push(added);
        }
        return;
    };
    let removed = removed.trim();
    list.retain(|field| {
        let below = field.trim_start_matches('*').strip_prefix(removed);
        !below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    tail.retain(|field| *field != removed);
}

/// One column or relation of an entity. They are listed in table order.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// A column.
    Scalar(&'static str),
    /// Shown where it is named, and never by a star.
    Named(&'static str),
    /// The entity that this one names by the column `key`. A star shows its id in passing.
    Parent { name: &'static str, key: &'static str },
    /// Another entity that a star shows with all its columns.
    Whole(&'static str),
    /// The parent from which this entity was reached: not shown again, only its key is.
    Back { name: &'static str, key: &'static str },
    /// Found from the other side; shown where it is selected.
    Relation(&'static str),
}

/// The column of this name, if there is one.
pub(super) fn scalar_named(columns: &[Column], name: &str) -> Option<&'static str> {
    columns.iter().find_map(|column| match *column {
        Column::Scalar(known) | Column::Named(known) if known == name => Some(known),
        _ => None,
    })
}

/// The entities behind a relation.
pub(super) enum Related<'a> {
    One(Option<Box<dyn Entity + 'a>>),
    Many(Vec<Box<dyn Entity + 'a>>),
}

/// Something that `fields` selects from.
pub(super) trait Entity {
    fn columns(&self) -> &'static [Column];

    /// A column's value as JSON text. Asked only for names that [`Entity::columns`] lists as
    /// [`Column::Scalar`] or [`Column::Named`].
    fn scalar(&self, name: &str) -> String;

    /// Is this relation shown here? Not where the entity is already inside of it. Asked as
    /// [`Entity::related`] is.
    fn has(&self, _relation: &str) -> bool {
        true
    }

    /// Asked only for names listed as [`Column::Parent`], [`Column::Whole`] or [`Column::Relation`].
    fn related(&self, name: &str) -> Related<'_>;
}

/// The selected part of an entity as JSON text.
pub(super) fn render(entity: &dyn Entity, selection: &Selection) -> String {
    let mut object = Object { entity, text: String::from("{"), shown: Vec::new() };
    if selection.is_whole {
        object.table(selection);
    } else {
        object.list(selection);
    }
    for name in &selection.tail {
        object.column(name, selection);
    }
    object.text.push('}');
    object.text
}

struct Object<'a> {
    entity: &'a dyn Entity,
    text: String,
    shown: Vec<&'static str>,
}

impl Object<'_> {
    fn list(&mut self, selection: &Selection) {
        for name in &selection.scalars {
            self.column(name, selection);
        }
        self.column("id", selection);
        for (name, _) in &selection.relations {
            self.key(name);
        }
        for (name, inner) in &selection.relations {
            self.relation(name, inner);
        }
    }

    fn table(&mut self, selection: &Selection) {
        for column in self.entity.columns() {
            match *column {
                Column::Scalar(name) => self.column(name, selection),
                Column::Parent { name, .. } => {
                    let passing = Selection::default();
                    self.relation(name, selection.chosen(name).unwrap_or(&passing));
                }
                Column::Whole(name) => {
                    let whole = Selection { is_whole: true, ..Selection::default() };
                    self.relation(name, selection.chosen(name).unwrap_or(&whole));
                }
                Column::Named(_) | Column::Back { .. } | Column::Relation(_) => {}
            }
        }
        for name in &selection.scalars {
            self.column(name, selection);
        }
        for (name, inner) in &selection.relations {
            self.relation(name, inner);
        }
    }

    /// A star on a scalar makes it a relation, of which there is none: it disappears. Only the id
    /// never does.
    fn column(&mut self, name: &str, selection: &Selection) {
        let known = scalar_named(self.entity.columns(), name);
        let is_hidden = name != "id" && selection.chosen(name).is_some();
        if let Some(known) = known.filter(|_| !is_hidden) {
            self.member(known, |entity| entity.scalar(known));
        }
    }

    fn key(&mut self, relation: &str) {
        let key = self.entity.columns().iter().find_map(|column| match *column {
            Column::Parent { name, key } | Column::Back { name, key } if name == relation => {
                Some(key)
            }
            _ => None,
        });
        if let Some(key) = key {
            self.member(key, |entity| entity.scalar(key));
        }
    }

    fn relation(&mut self, relation: &str, inner: &Selection) {
        let known = self.entity.columns().iter().find_map(|column| match *column {
            Column::Parent { name, .. } | Column::Whole(name) | Column::Relation(name)
                if name == relation =>
            {
                Some(name)
            }
            _ => None,
        });
        if let Some(known) = known.filter(|known| self.entity.has(known)) {
            self.member(known, |entity| match entity.related(known) {
                Related::One(None) => "null".to_owned(),
                Related::One(Some(one)) => render(one.as_ref(), inner),
                Related::Many(many) => {
                    let items: Vec<String> =
                        many.iter().map(|one| render(one.as_ref(), inner)).collect();
                    format!("[{}]", items.join(","))
                }
            });
        }
    }

    /// Once each: what was shown already stays where it is.
    fn member(&mut self, name: &'static str, value: impl FnOnce(&dyn Entity) -> String) {
        if self.shown.contains(&name) {
            return;
        }
        if !self.shown.is_empty() {
            self.text.push(',');
        }
        self.shown.push(name);
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        self.text.push_str(&value(self.entity));
    }
}

//! Values on their way into a statement and out of a row.
//!
//! A statement takes any number of rows: each column of them is one array parameter, and the
//! statement unnests them. So a batch takes the same number of statements, however large it is.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use requite_core::money::Minor;
use requite_core::refund::{Fault, Status};

use super::link::Trouble;

/// One value of a row. It knows its type also where there is none, as its whole column has it.
pub(super) enum Cell<'a> {
    Bytes(Option<Vec<u8>>),
    Number(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

enum Column<'a> {
    Bytes(Vec<Option<Vec<u8>>>),
    Number(Vec<Option<i64>>),
    Text(Vec<Option<Cow<'a, str>>>),
}

/// Rows of one statement, kept column by column.
#[derive(Default)]
pub(super) struct Rows<'a> {
    columns: Vec<Column<'a>>,
    len: usize,
}

pub(super) type Parameters<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

impl<'a> Rows<'a> {
    pub(super) fn of<const N: usize>(rows: impl IntoIterator<Item = [Cell<'a>; N]>) -> Rows<'a> {
        let mut all = Rows::default();
        for row in rows {
            all.push(row);
        }
        all
    }

    pub(super) fn push<const N: usize>(&mut self, row: [Cell<'a>; N]) {
        if self.columns.is_empty() {
            self.columns.extend(row.iter().map(|cell| match cell {
                Cell::Bytes(_) => Column::Bytes(Vec::new()),
                Cell::Number(_) => Column::Number(Vec::new()),
                Cell::Text(_) => Column::Text(Vec::new()),
            }));
        }
        for (column, cell) in self.columns.iter_mut().zip(row) {
            match (column, cell) {
                (Column::Bytes(column), Cell::Bytes(value)) => column.push(value),
                (Column::Number(column), Cell::Number(value)) => column.push(value),
                (Column::Text(column), Cell::Text(value)) => column.push(value),
                _ => panic!("all rows of a statement are made by the same line of code"),
            }
        }
        self.len = self.len.saturating_add(1);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One array for each column.
    pub(super) fn parameters(&self) -> Parameters<'_> {
        fn parameter<'p>(column: &'p Column<'_>) -> (&'p (dyn ToSql + Sync), Type) {
            match column {
                Column::Bytes(column) => (column, Type::BYTEA_ARRAY),
                Column::Number(column) => (column, Type::INT8_ARRAY),
                Column::Text(column) => (column, Type::TEXT_ARRAY),
            }
        }
        self.columns.iter().map(parameter).collect()
    }
}

macro_rules! cells {
    ($($from:ty => $kind:ident($value:ident) $to:expr;)*) => {$(
        impl<'a> From<$from> for Cell<'a> {
            fn from($value: $from) -> Cell<'a> {
                Cell::$kind(Some($to))
            }
        }
        impl<'a> From<Option<$from>> for Cell<'a> {
            fn from(value: Option<$from>) -> Cell<'a> {
                Cell::$kind(value.map(|$value| $to))
            }
        }
    )*};
}

cells! {
    u128 => Bytes(id) id.to_be_bytes().to_vec();
    [u8; 16] => Bytes(bytes) bytes.to_vec();
    [u8; 32] => Bytes(bytes) bytes.to_vec();
    i64 => Number(number) number;
    u32 => Number(number) i64::from(number);
    u8 => Number(number) i64::from(number);
    bool => Number(flag) i64::from(flag);
    &'a str => Text(text) Cow::Borrowed(text);
    &'a String => Text(text) Cow::Borrowed(text.as_str());
    String => Text(text) Cow::Owned(text);
}

/// Cells of a row, each from its value.
macro_rules! row {
    ($($value:expr),* $(,)?) => { [$(crate::store::postgres::rows::Cell::from($value)),*] };
}
pub(super) use row;

/// A stored value that no writer of ours could have written.
pub(super) fn corrupt(what: &str) -> Trouble {
    Trouble::Lasting(format!("the store holds {what}; run `requite verify`"))
}

/// A row, read column by column.
pub(super) trait Read {
    /// 16 bytes as the number that they spell.
    fn id(&self, column: usize) -> Result<u128, Trouble>;
    fn maybe_id(&self, column: usize) -> Result<Option<u128>, Trouble>;
    fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], Trouble>;
    fn integer(&self, column: usize) -> Result<i64, Trouble>;
    fn maybe_integer(&self, column: usize) -> Result<Option<i64>, Trouble>;
    fn count(&self, column: usize) -> Result<u32, Trouble>;
    fn flag(&self, column: usize) -> Result<bool, Trouble>;
    fn text(&self, column: usize) -> Result<String, Trouble>;
    fn maybe_text(&self, column: usize) -> Result<Option<String>, Trouble>;

    fn minor(&self, column: usize) -> Result<Minor, Trouble> {
        Minor::new(self.integer(column)?).ok_or_else(|| corrupt("an amount out of range"))
    }

    fn status(&self, column: usize) -> Result<Status, Trouble> {
        let number = u8::try_from(self.integer(column)?).ok();
        number.and_then(Status::from_number).ok_or_else(|| corrupt("an unknown status"))
    }

    fn fault(&self, code: usize, text: usize) -> Result<Option<Fault>, Trouble> {
        let (code, text) = (self.maybe_text(code)?, self.maybe_text(text)?);
        Ok(code.map(|code| Fault { code, text: text.unwrap_or_default() }))
    }
}

impl Read for Row {
    fn id(&self, column: usize) -> Result<u128, Trouble> {
        Ok(u128::from_be_bytes(self.bytes(column)?))
    }

    fn maybe_id(&self, column: usize) -> Result<Option<u128>, Trouble> {
        match self.try_get::<_, Option<&[u8]>>(column)? {
            Some(_) => self.id(column).map(Some),
            None => Ok(None),
        }
    }

    fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], Trouble> {
        let bytes: &[u8] = self.try_get(column)?;
        bytes.try_into().map_err(|_| corrupt("an id or a hash of another length"))
    }

    fn integer(&self, column: usize) -> Result<i64, Trouble> {
        Ok(self.try_get(column)?)
    }

    fn maybe_integer(&self, column: usize) -> Result<Option<i64>, Trouble> {
        Ok(self.try_get(column)?)
    }

    fn count(&self, column: usize) -> Result<u32, Trouble> {
        u32::try_from(self.integer(column)?).map_err(|_| corrupt("a count out of range"))
    }

    fn flag(&self, column: usize) -> Result<bool, Trouble> {
        Ok(self.integer(column)? != 0)
    }

    fn text(&self, column: usize) -> Result<String, Trouble> {
        Ok(self.try_get(column)?)
    }

    fn maybe_text(&self, column: usize) -> Result<Option<String>, Trouble> {
        Ok(self.try_get(column)?)
    }
}

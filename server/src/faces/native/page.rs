//! Pages of a list, turned both ways.
//!
//! A page ends where the next begins: a cursor names the last row that was shown (or, to turn back,
//! the first one), its place in the order, and the order itself. So nothing is seen twice or left out
//! while new rows come in. Cursors are opaque to clients; `null` is the end.

use axum::http::StatusCode;
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use requite_engine::read::Sort;

use super::view::{self, Shown};
use super::wire::json_answer;

/// What is listed. Numbers stand in cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Payments,
    Refunds,
    Reasons,
    Events,
    Journal,
}

type Sorts = &'static [(&'static str, Sort)];

impl List {
    fn number(self) -> u8 {
        match self {
            List::Payments => 1,
            List::Refunds => 2,
            List::Reasons => 3,
            List::Events => 4,
            List::Journal => 5,
        }
    }

    /// Words of the parameter `sort`, the usual order first.
    pub(super) fn sorts(self) -> Sorts {
        match self {
            List::Payments => {
                &[("registered", Sort::Id), ("created", Sort::Created), ("updated", Sort::Updated)]
            }
            List::Refunds => &[("created", Sort::Id), ("updated", Sort::Updated)],
            List::Reasons | List::Events | List::Journal => &[],
        }
    }

    /// Which way a list goes where nobody says: a history from its beginning.
    pub(super) fn is_newest_first(self) -> bool {
        matches!(self, List::Payments | List::Refunds)
    }
}

/// Which page of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    list: List,
    pub sort: Sort,
    pub is_newest_first: bool,
    /// Behind this row's id and time; turning back, before it.
    place: Option<(u128, i64)>,
    is_back: bool,
    limit: u32,
}

/// A cursor's length: what is listed, the order, the row's id and its time.
const CURSOR_BYTES: usize = 26;

const IS_BACK: u8 = 1;
const NEWEST_FIRST: u8 = 2;
const SORTS: [(Sort, u8); 3] = [(Sort::Id, 0), (Sort::Created, 4), (Sort::Updated, 8)];

impl Turn {
    pub(super) fn first(list: List, sort: Sort, is_newest_first: bool, limit: u32) -> Turn {
        Turn { list, sort, is_newest_first, place: None, is_back: false, limit }
    }

    /// Reads a cursor. `None` for what was never given as one of this list.
    pub(super) fn behind(bytes: &[u8], list: List, limit: u32) -> Option<Turn> {
        let bytes: &[u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (&[listed, order], row) = bytes.split_first_chunk()?;
        let (id, at_ms) = row.split_first_chunk()?;
        let is_newest_first = order & NEWEST_FIRST != 0;
        let (sort, _) = SORTS.into_iter().find(|(_, bits)| order & !3 == *bits)?;
        let is_known = sort == Sort::Id || list.sorts().iter().any(|(_, known)| *known == sort);
        let place = (u128::from_be_bytes(*id), i64::from_be_bytes(at_ms.try_into().ok()?));
        (listed == list.number() && is_known).then_some(Turn {
            list,
            sort,
            is_newest_first,
            place: Some(place),
            is_back: order & IS_BACK != 0,
            limit,
        })
    }

    /// The row's cursor, in this order, to turn on or back.
    fn cursor(&self, row: &Row, is_back: bool) -> String {
        let (_, sort) = SORTS.into_iter().find(|(sort, _)| *sort == self.sort).expect("all listed");
        let newest_first = if self.is_newest_first { NEWEST_FIRST } else { 0 };
        let order = sort | newest_first | if is_back { IS_BACK } else { 0 };
        let mut bytes = vec![self.list.number(), order];
        bytes.extend(row.id.to_be_bytes());
        bytes.extend(row.at_ms.to_be_bytes());
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The direction in which rows are to be read: against the list's own, turning back.
    pub(super) fn newest_first(&self) -> bool {
        self.is_newest_first != self.is_back
    }

    /// The row behind which to read, in that direction.
    pub(super) fn after(&self) -> Option<(u128, i64)> {
        self.place
    }

    /// Rows to read: one more than are shown tells whether there is another page.
    pub(super) fn limit(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// As [`Self::limit`].
    pub(super) fn rows(&self) -> usize {
        usize::try_from(self.limit()).unwrap_or(usize::MAX)
    }
}

/// A row of a list: its place in the order, and its JSON text.
pub(super) struct Row {
    id: u128,
    at_ms: i64,
    text: String,
}

impl Row {
    /// A row of a list in the order of ids.
    pub(super) fn of(id: u128, text: String) -> Row {
        Row { id, at_ms: 0, text }
    }

    pub(super) fn at(self, at_ms: i64) -> Row {
        Row { at_ms, ..self }
    }
}

/// The page: of the rows that were read as the turn says, those that are shown, and where to go on.
pub(super) fn answer(turn: &Turn, rows: Vec<Row>) -> Response {
    answer_with(turn, rows, Shown::new())
}

/// As [`answer`], with further members before the rows.
pub(super) fn answer_with(turn: &Turn, mut rows: Vec<Row>, shown: Shown) -> Response {
    let limit = turn.rows().saturating_sub(1);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    if turn.is_back {
        rows.reverse();
    }
    // Turning back, the page that was turned from is behind; turning on, there is one before.
    let (has_next, has_previous) =
        if turn.is_back { (true, is_more) } else { (is_more, turn.place.is_some()) };
    let next = rows.last().filter(|_| has_next).map(|row| turn.cursor(row, false));
    let previous = rows.first().filter(|_| has_previous).map(|row| turn.cursor(row, true));
    let items = view::list(rows.into_iter().map(|row| row.text));
    let text = shown
        .raw("items", &items)
        .member("next_cursor", next)
        .member("previous_cursor", previous)
        .text();
    json_answer(StatusCode::OK, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_its_list_and_order_and_of_no_other() {
        let turn = Turn::first(List::Payments, Sort::Updated, true, 20);
        for is_back in [false, true] {
            let row = Row::of(7, String::new()).at(1_726_403_265_123);
            let text = turn.cursor(&row, is_back);
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64");
            let read = Turn::behind(&bytes, List::Payments, 20).expect("a cursor");
            let place = Some((7, 1_726_403_265_123));
            assert_eq!(read, Turn { place, is_back, ..turn });
            assert_eq!(read.newest_first(), !is_back);
            assert_eq!(Turn::behind(&bytes, List::Refunds, 20), None);
            assert_eq!(Turn::behind(&bytes[1..], List::Payments, 20), None);
            let mut other = bytes.clone();
            other[1] |= 4;
            assert_eq!(Turn::behind(&other, List::Payments, 20), None, "no such order");
            other[1] = 16;
            assert_eq!(Turn::behind(&other, List::Payments, 20), None, "no such order");
        }
        let by_time = [&[1_u8, 8][..], &[0; 24]].concat();
        assert!(Turn::behind(&by_time, List::Payments, 1).is_some());
        let events = [&[4_u8, 8][..], &[0; 24]].concat();
        assert_eq!(Turn::behind(&events, List::Events, 1), None, "events have one order");
    }
}

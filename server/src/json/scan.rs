//! The grammar of RFC 8259, walked byte by byte: once to check a text, and again, level by level, to
//! open what was checked.

use super::{Cause, Fault};

/// How many arrays and objects may be open at once.
pub(crate) const DEPTH_MAX: usize = 128;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Checks that `input` is one value, and returns it without what surrounds it.
pub(super) fn check(input: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(input)
        .map_err(|error| Fault { at: error.valid_up_to(), cause: Cause::NotUtf8 })?;
    let mut scan = Scan { bytes: input, at: 0 };
    if input.starts_with(BYTE_ORDER_MARK) {
        scan.at = BYTE_ORDER_MARK.len();
    }
    scan.skip_space();
    let start = scan.at;
    if scan.peek().is_none() {
        return Err(scan.fault(Cause::Empty));
    }
    scan.value(0)?;
    let end = scan.at;
    scan.skip_space();
    if scan.peek().is_some() {
        return Err(scan.fault(Cause::TrailingText));
    }
    Ok(&text[start..end])
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, cause: Cause) -> Fault {
        // Whatever was expected, the end of the text is the plainer news.
        let is_short = self.at >= self.bytes.len() && cause != Cause::Empty;
        Fault { at: self.at, cause: if is_short { Cause::Unfinished } else { cause } }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Err(self.fault(Cause::TooDeep)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.fault(Cause::ValueExpected)),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        for &byte in word {
            if !self.take(byte) {
                return Err(self.fault(Cause::ValueExpected));
            }
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.skip_space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault(Cause::CommaOrEndExpected));
            }
            self.skip_space();
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fault(Cause::NameExpected));
            }
            self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.fault(Cause::ColonExpected));
            }
            self.skip_space();
            self.value(depth)?;
            self.skip_space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault(Cause::CommaOrEndExpected));
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.take(b'-');
        if self.take(b'0') {
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.fault(Cause::NumberMalformed));
            }
        } else {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.fault(Cause::NumberMalformed));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.fault(Cause::Unfinished)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return Err(self.fault(Cause::ControlCharacter)),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                match self.unit()? {
                    0xD800..=0xDBFF => self.second_half(start),
                    0xDC00..=0xDFFF => Err(Fault { at: start, cause: Cause::LoneSurrogate }),
                    _ => Ok(()),
                }
            }
            _ => Err(self.fault(Cause::EscapeUnknown)),
        }
    }

    fn second_half(&mut self, start: usize) -> Result<(), Fault> {
        let lone = Fault { at: start, cause: Cause::LoneSurrogate };
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone);
        }
        match self.unit()? {
            0xDC00..=0xDFFF => Ok(()),
            _ => Err(lone),
        }
    }

    fn unit(&mut self) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fault(Cause::EscapeUnknown));
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

const CHECKED: &str = "the text was checked by `check`";

/// The values of a checked array.
pub(super) fn items(array: &str) -> Vec<&str> {
    let mut scan = Scan { bytes: array.as_bytes(), at: 1 };
    let mut items = Vec::new();
    scan.skip_space();
    while scan.peek() != Some(b']') {
        items.push(next_value(&mut scan, array));
        skip_comma(&mut scan);
    }
    items
}

/// The names, in quotes, and values of a checked object.
pub(super) fn members(object: &str) -> Vec<(&str, &str)> {
    let mut scan = Scan { bytes: object.as_bytes(), at: 1 };
    let mut members = Vec::new();
    scan.skip_space();
    while scan.peek() != Some(b'}') {
        let name = next_value(&mut scan, object);
        scan.skip_space();
        assert!(scan.take(b':'), "{CHECKED}");
        scan.skip_space();
        members.push((name, next_value(&mut scan, object)));
        skip_comma(&mut scan);
    }
    members
}

fn next_value<'a>(scan: &mut Scan<'_>, text: &'a str) -> &'a str {
    let start = scan.at;
    // One level is open already, but the whole was checked from its own first level.
    scan.value(0).expect(CHECKED);
    &text[start..scan.at]
}

fn skip_comma(scan: &mut Scan<'_>) {
    scan.skip_space();
    scan.take(b',');
    scan.skip_space();
}

/// The text of a checked string in quotes.
pub(super) fn decode(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut rest = &quoted[1..quoted.len() - 1];
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (character, after) = decode_escape(&rest[at + 1..]);
        text.push(character);
        rest = after;
    }
    text.push_str(rest);
    text
}

/// The character of an escape, given what follows its backslash, and what follows the escape.
fn decode_escape(text: &str) -> (char, &str) {
    let (letter, rest) = text.split_at(1);
    let character = match letter {
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "t" => '\t',
        "u" => return decode_units(rest),
        _ => letter.chars().next().expect(CHECKED),
    };
    (character, rest)
}

fn decode_units(text: &str) -> (char, &str) {
    let unit = |at: usize| u32::from_str_radix(&text[at..at + 4], 16).expect(CHECKED);
    match unit(0) {
        high @ 0xD800..=0xDBFF => {
            let code = 0x10000 + (high - 0xD800) * 0x400 + (unit(6) - 0xDC00);
            (char::from_u32(code).expect(CHECKED), &text[10..])
        }
        code => (char::from_u32(code).expect(CHECKED), &text[4..]),
    }
}

/// Whether a checked text has a NUL in a string. It can only be there as an escape.
pub(super) fn contains_nul(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with("u0000") {
            return true;
        }
        rest = &escape[1..];
    }
    false
}

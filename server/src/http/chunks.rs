//! The check of a chunked body's framing, on its raw bytes (RFC 9112 section 7.1).
//!
//! Stricter than the grammar where leniency is a known way to smuggle: every line ends in CR LF, no
//! space follows a size, and trailer fields, which no client of a refund API sends, are refused.

/// A size has at most this many hexadecimal digits: 2^60 bytes.
const SIZE_DIGITS_MAX: u8 = 15;

/// Bytes of chunk extensions in one body.
const EXTENSIONS_MAX: u16 = 1024;

/// The framing of the body is malformed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChunkFault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size { value: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Bytes { left: u64 },
    BytesCr,
    BytesLf,
    EndCr,
    EndLf,
    End,
}

/// Follows a chunked body through bytes that arrive in pieces.
#[derive(Debug)]
pub(super) struct ChunkScan {
    at: At,
    extensions: u16,
}

impl ChunkScan {
    pub(super) fn new() -> ChunkScan {
        ChunkScan { at: At::Size { value: 0, digits: 0 }, extensions: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == At::End
    }

    /// How many of `bytes` belong to the body: all of them, or those up to its end.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkFault> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::End {
            if let At::Bytes { left } = self.at {
                let here = u64::try_from(bytes.len() - used).unwrap_or(u64::MAX).min(left);
                used += usize::try_from(here).expect("no more than the bytes at hand");
                self.at = match left - here {
                    0 => At::BytesCr,
                    left => At::Bytes { left },
                };
            } else {
                self.at = self.after(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    fn after(&mut self, byte: u8) -> Result<At, ChunkFault> {
        match (self.at, byte) {
            (At::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(ChunkFault);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Ok(At::Size { value: value * 16 + digit, digits: digits + 1 })
            }
            (At::Size { value, digits: 1.. }, b'\r') => Ok(At::SizeLf { size: value }),
            (At::Size { value, digits: 1.. }, b';') => Ok(At::Extension { size: value }),
            (At::Extension { size }, b'\r') => Ok(At::SizeLf { size }),
            (At::Extension { size }, b'\t' | b' '..=b'~') if self.extensions < EXTENSIONS_MAX => {
                self.extensions += 1;
                Ok(At::Extension { size })
            }
            (At::SizeLf { size: 0 }, b'\n') => Ok(At::EndCr),
            (At::SizeLf { size }, b'\n') => Ok(At::Bytes { left: size }),
            (At::BytesCr, b'\r') => Ok(At::BytesLf),
            (At::BytesLf, b'\n') => Ok(At::Size { value: 0, digits: 0 }),
            (At::EndCr, b'\r') => Ok(At::EndLf),
            (At::EndLf, b'\n') => Ok(At::End),
            _ => Err(ChunkFault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChunkFault, ChunkScan};

    /// How many bytes of `text` are the body, fed at once and byte by byte.
    fn body_length(text: &str) -> Result<Option<usize>, ChunkFault> {
        let mut whole = ChunkScan::new();
        let at_once = whole.advance(text.as_bytes());
        let mut pieces = ChunkScan::new();
        let mut used = Ok(0);
        for byte in text.bytes() {
            used = used.and_then(|so_far| pieces.advance(&[byte]).map(|one| so_far + one));
        }
        assert_eq!(at_once, used, "{text:?} in pieces");
        at_once.map(|used| whole.is_at_end().then_some(used))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        for (text, length) in [
            ("0\r\n\r\n", Some(5)),
            ("5\r\nhello\r\n0\r\n\r\nGET /", Some(15)),
            ("5;a=\"b\" \r\nhello\r\n000\r\n\r\n", Some(24)),
            ("A\r\n0123456789\r\n0\r\n\r\n", Some(20)),
            ("3\r\n\n\r\n\r\n0\r\n\r\n", Some(13)),
            ("5\r\nhel", None),
            ("", None),
        ] {
            assert_eq!(body_length(text), Ok(length), "{text:?}");
        }
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_refused() {
        for text in [
            "\r\n",
            "x\r\n",
            "5\nhello\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-1\r\n",
            ";a\r\n",
            "5;a\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\r0",
            "5\rhello",
            "1000000000000000\r\n",
            "0\r\nX: y\r\n\r\n",
            "0\r\n\n",
            "0\n\n",
            "5;\u{1}\r\nhello\r\n",
        ] {
            assert_eq!(body_length(text), Err(ChunkFault), "{text:?}");
        }
        let talkative = format!("1;{}\r\n", "a".repeat(1025));
        assert_eq!(body_length(&talkative), Err(ChunkFault));
    }
}

//! What a command prints, and what goes to the log: whatever texts from outside stand in it, a terminal only
//! ever gets what it shows, and a line that we did not begin is none ([`visible`]).

use std::io::{self, Write};

use serde_json::Value;

/// Standard output, for people or for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Output {
        Output { is_json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.is_json
    }

    /// One result: `text` for people, `value` for programs.
    pub(crate) fn result(self, text: &str, value: &Value) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_json {
            writeln!(out, "{value}")?;
        } else {
            writeln!(out, "{}", visible_lines(text))?;
        }
        out.flush()
    }

    /// A line for people; programs are not told.
    pub(crate) fn note(self, text: &str) -> io::Result<()> {
        if self.is_json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{}", visible_lines(text))?;
        out.flush()
    }

    /// The server listens.
    pub(crate) fn ready(self, url: &str) -> io::Result<()> {
        let text = format!("listening on {url}");
        self.result(&text, &serde_json::json!({"listening": url}))
    }
}

impl Output {
    /// One of many results for programs; see [`Output::flush`].
    pub(crate) fn row(self, value: &Value) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{value}")
    }

    pub(crate) fn flush(self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// Text from outside for a terminal, on one line: without control characters, without what ends a line, and
/// without what changes the direction in which the rest is shown.
pub(crate) fn visible(text: &str) -> String {
    let shown = text.chars().map(|character| match character {
        control if control.is_control() => '\u{fffd}',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '\u{fffd}'
        }
        '\u{2028}' | '\u{2029}' => '\u{fffd}',
        other => other,
    });
    shown.collect()
}

/// The same for a text of ours that has lines; what stands in them from outside went through [`visible`].
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Standard error for the log. An event comes as one piece that ends its line, and goes out as one line.
#[derive(Debug)]
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // Nearly every line is plain, and there is one for each request.
        let plain = event.strip_suffix(b"\n").unwrap_or(event);
        if plain.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            io::stderr().lock().write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        io::stderr().lock().write_all(format!("{}{end}", visible(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

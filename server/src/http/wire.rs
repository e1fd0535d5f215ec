//! The reader and writer between a socket and hyper.
//!
//! Invariants:
//! - hyper reads a head only when it is complete and passed the check, and after it exactly the bytes
//!   of its body; then nothing until the answer is written and flushed.
//! - A head that fails the check is never read by hyper. To hyper the connection ends there, cleanly;
//!   the refusal is written when hyper shuts the connection down, so it comes after earlier answers.
//! - Each wait has a deadline: first byte, head, idle, body, a stalled write, the linger at the end.
//!
//! Start at [`Wire::poll_read`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

use super::Limits;
use super::chunks::ChunkScan;
use super::flow::{Flow, Leaving};
use super::head::{self, Framing, HeadFault, HeadScan};

/// Bytes asked of the socket at once.
const READ_SIZE: usize = 8 * 1024;

/// Empty lines skipped before a request line (RFC 9112 section 2.2).
const BLANK_LINES_MAX: u8 = 2;

/// Bytes thrown away at the end of a connection, so that the last answer arrives.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Once asked to leave, how long to look for a request that is already on its way.
const LEAVING_GRACE: Duration = Duration::from_millis(50);

pub(super) struct Wire<S> {
    socket: S,
    flow: Arc<Flow>,
    limits: Limits,
    phase: Phase,
    /// Bytes from the socket; the first `passed` of them are for hyper.
    input: BytesMut,
    passed: usize,
    blank_lines: u8,
    /// When the present head had, or will have, its time's start.
    head_since: Option<Instant>,
    deadline: Pin<Box<Sleep>>,
    is_leaving: bool,
    write_deadline: Option<Pin<Box<Sleep>>>,
    closing: Closing,
}

#[derive(Debug)]
enum Phase {
    Head(HeadScan),
    Body {
        left: u64,
    },
    Chunks(ChunkScan),
    /// The request is complete; its answer is not.
    Answering,
    /// Nothing more is read.
    Ended,
}

/// The stations of [`Wire::poll_shutdown`].
#[derive(Debug)]
enum Closing {
    Open,
    Refuse(Bytes),
    Shut,
    Linger { bytes_left: usize },
    Closed,
}

/// What to do after looking at the bytes at hand.
enum Step {
    Deliver,
    ReadMore,
    Hold,
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(socket: S, flow: Arc<Flow>, limits: Limits) -> Wire<S> {
        let now = Instant::now();
        flow.wait(now);
        Wire {
            socket,
            flow,
            limits,
            phase: Phase::Head(HeadScan::default()),
            input: BytesMut::new(),
            passed: 0,
            blank_lines: 0,
            head_since: Some(now),
            deadline: Box::pin(sleep_until(now + limits.first_byte_max)),
            is_leaving: false,
            write_deadline: None,
            closing: Closing::Open,
        }
    }

    /// Waits for the first complete head; false when there will be none. A connection costs no more
    /// than this reader until then: hyper's buffers come after.
    pub(super) fn poll_first_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match self.examine()? {
                Step::Deliver => return Poll::Ready(Ok(true)),
                Step::End => return Poll::Ready(Ok(false)),
                Step::Hold | Step::ReadMore => {}
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Moves through the phases as far as the bytes at hand allow.
    fn examine(&mut self) -> io::Result<Step> {
        if self.passed > 0 {
            return Ok(Step::Deliver);
        }
        match &mut self.phase {
            Phase::Ended => Ok(Step::End),
            Phase::Answering => Ok(Step::Hold),
            Phase::Head(_) => Ok(self.examine_head()),
            _ if self.input.is_empty() => Ok(Step::ReadMore),
            Phase::Body { left } => {
                let here = u64::try_from(self.input.len()).unwrap_or(u64::MAX).min(*left);
                *left -= here;
                self.passed = usize::try_from(here).expect("no more than the bytes at hand");
                let is_whole = *left == 0;
                Ok(self.pass_body(is_whole))
            }
            Phase::Chunks(scan) => match scan.advance(&self.input) {
                Ok(used) => {
                    self.passed = used;
                    let is_whole = scan.is_at_end();
                    Ok(self.pass_body(is_whole))
                }
                Err(_) => {
                    self.phase = Phase::Ended;
                    Err(io::Error::new(io::ErrorKind::InvalidData, "malformed chunk framing"))
                }
            },
        }
    }

    fn pass_body(&mut self, is_whole: bool) -> Step {
        if is_whole {
            self.flow.body_complete();
            self.phase = Phase::Answering;
            self.begin_next_if_answered();
        }
        Step::Deliver
    }

    fn examine_head(&mut self) -> Step {
        while self.blank_lines < BLANK_LINES_MAX && self.input.starts_with(b"\r\n") {
            self.input.advance(2);
            self.blank_lines += 1;
        }
        if self.input.is_empty() || &self.input[..] == b"\r" {
            return Step::ReadMore;
        }
        let Phase::Head(scan) = &mut self.phase else {
            return Step::ReadMore;
        };
        let checked = match scan.advance(&self.input) {
            Ok(None) => {
                if self.head_since.is_none() {
                    self.head_since = Some(Instant::now());
                }
                return Step::ReadMore;
            }
            Ok(Some(length)) => head::check(&self.input[..length]).map(|framing| (length, framing)),
            Err(fault) => Err(fault),
        };
        match checked {
            Ok((length, framing)) => self.pass_head(length, framing),
            Err(fault) => self.refuse(fault),
        }
    }

    fn pass_head(&mut self, length: usize, framing: Framing) -> Step {
        let now = Instant::now();
        self.flow.pass_head((framing != Framing::Empty).then_some(now));
        self.passed = length;
        self.blank_lines = 0;
        self.deadline.as_mut().reset(now + self.limits.body_max);
        self.phase = match framing {
            Framing::Empty => Phase::Answering,
            Framing::Length(left) => Phase::Body { left },
            Framing::Chunked => Phase::Chunks(ChunkScan::new()),
        };
        Step::Deliver
    }

    fn refuse(&mut self, fault: HeadFault) -> Step {
        tracing::debug!(?fault, "head refused");
        self.closing = Closing::Refuse(Bytes::from(fault.answer()));
        self.phase = Phase::Ended;
        Step::End
    }

    /// Turns to the next request once this one is complete and its answer written. True if it did.
    fn begin_next_if_answered(&mut self) -> bool {
        if !matches!(self.phase, Phase::Answering) || !self.flow.is_answered() {
            return false;
        }
        let now = Instant::now();
        self.flow.wait(now);
        self.phase = Phase::Head(HeadScan::default());
        self.head_since = None;
        self.deadline.as_mut().reset(now + self.limits.idle_max);
        true
    }

    /// Reads from the socket into `input`, or ends the phase by its deadline.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flow.reader_waits(cx.waker());
        match (self.flow.leaving(), &self.phase) {
            (Some(Leaving::MakeRoom), Phase::Head(_)) => {
                // No lingering either: the place is wanted now.
                self.input.clear();
                self.phase = Phase::Ended;
                return Poll::Ready(Ok(()));
            }
            (Some(Leaving::MakeRoom), _) => {
                self.phase = Phase::Ended;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            (Some(Leaving::Stop), Phase::Head(_)) => self.hurry(),
            _ => {}
        }
        match self.poll_socket(cx) {
            Poll::Ready(Ok(0)) => {
                self.phase = Phase::Ended;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_deadline(cx),
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // On the stack first: a connection that sends nothing holds no buffer.
        let mut space = [std::mem::MaybeUninit::uninit(); READ_SIZE];
        let mut arrived = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut arrived))?;
        self.input.extend_from_slice(arrived.filled());
        Poll::Ready(Ok(arrived.filled().len()))
    }

    /// The server stops: a request that is not on its way now is not waited for.
    fn hurry(&mut self) {
        let soon = Instant::now() + LEAVING_GRACE;
        if !self.is_leaving && self.input.is_empty() && soon < self.deadline.deadline() {
            self.deadline.as_mut().reset(soon);
        }
        self.is_leaving = true;
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let (Phase::Head(_), Some(since)) = (&self.phase, self.head_since)
            && !self.input.is_empty()
            && self.deadline.deadline() != since + self.limits.head_max
        {
            self.deadline.as_mut().reset(since + self.limits.head_max);
        }
        ready!(self.deadline.as_mut().poll(cx));
        match self.phase {
            Phase::Head(_) if self.input.is_empty() => self.phase = Phase::Ended,
            Phase::Head(_) => {
                self.refuse(HeadFault::TooSlow);
            }
            _ => {
                self.phase = Phase::Ended;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fails once a write has made no progress for its time.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let stall_max = self.limits.write_stall_max;
        let deadline = self
            .write_deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall_max)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Input that nobody will read would make the close a reset.
    fn has_unread_input(&self) -> bool {
        self.input.len() > self.passed
            || matches!(self.phase, Phase::Body { .. } | Phase::Chunks(_))
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>, mut bytes_left: usize) -> Poll<()> {
        loop {
            let mut space = [0; READ_SIZE];
            let mut arrived = ReadBuf::new(&mut space);
            match Pin::new(&mut self.socket).poll_read(cx, &mut arrived) {
                Poll::Pending => {
                    self.closing = Closing::Linger { bytes_left };
                    return self.deadline.as_mut().poll(cx);
                }
                Poll::Ready(Ok(())) if !arrived.filled().is_empty() => {
                    bytes_left = bytes_left.saturating_sub(arrived.filled().len());
                    if bytes_left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        loop {
            match wire.examine()? {
                Step::Deliver => {
                    let count = wire.passed.min(out.remaining());
                    out.put_slice(&wire.input[..count]);
                    wire.input.advance(count);
                    wire.passed -= count;
                    return Poll::Ready(Ok(()));
                }
                Step::End => return Poll::Ready(Ok(())),
                Step::Hold => {
                    wire.flow.reader_waits(cx.waker());
                    return Poll::Pending;
                }
                Step::ReadMore => {}
            }
            ready!(wire.poll_fill(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.socket).poll_write(cx, bytes);
        wire.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = Pin::new(&mut wire.socket).poll_write_vectored(cx, slices);
        wire.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        ready!(Pin::new(&mut wire.socket).poll_flush(cx))?;
        // hyper flushes once its own buffer is empty: an answer that is done is out now. Reading
        // on any earlier could end the connection before the answer's last bytes.
        if wire.begin_next_if_answered() {
            wire.flow.wake_reader();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        loop {
            match &mut wire.closing {
                Closing::Open => wire.closing = Closing::Shut,
                Closing::Refuse(answer) if answer.is_empty() => wire.closing = Closing::Shut,
                Closing::Refuse(answer) => {
                    let written = Pin::new(&mut wire.socket).poll_write(cx, answer);
                    let count = match written {
                        Poll::Ready(Ok(count)) if count > 0 => count,
                        Poll::Pending => return wire.watch_write(cx, Poll::Pending),
                        Poll::Ready(_) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    };
                    answer.advance(count);
                }
                Closing::Shut => {
                    ready!(Pin::new(&mut wire.socket).poll_shutdown(cx))?;
                    wire.closing = if wire.has_unread_input() {
                        wire.deadline.as_mut().reset(Instant::now() + wire.limits.linger_max);
                        Closing::Linger { bytes_left: LINGER_BYTES_MAX }
                    } else {
                        Closing::Closed
                    };
                }
                Closing::Linger { bytes_left } => {
                    let bytes_left = *bytes_left;
                    ready!(wire.poll_linger(cx, bytes_left));
                    wire.closing = Closing::Closed;
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

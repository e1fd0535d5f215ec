//! Reads a request's body for a face, within a size. How long it may take is the connection's
//! business ([`super::Limits::body_max`]); here it only shows as [`BodyFault::TimedOut`].

use std::error::Error;
use std::io::{self, Read};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;

/// Buffer to begin with, whatever length was announced.
const FIRST_CAPACITY_MAX: usize = 8 * 1024;

/// Which content codings a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codings {
    /// The body as it is.
    Plain,
    /// Also `gzip`, `x-gzip` and `deflate`; the size limit holds for the inflated body too.
    Inflate,
}

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// Announced, sent, or inflated to more than `max` bytes.
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: usize },
    #[error("the body took too long to arrive")]
    TimedOut,
    /// The name that was sent, lower case and cut to 40 characters.
    #[error("the content encoding is not supported: {0:?}")]
    UnsupportedEncoding(String),
    /// The chunk framing or the compressed data is broken.
    #[error("the body is malformed")]
    Malformed,
    /// The client left before the end; nobody is there to read an answer.
    #[error("the body ended before its announced end")]
    Broken,
}

/// The body of `request`, at most `max` bytes; `request` keeps its head and loses its body.
///
/// An announced length above `max` is refused without reading. An absent body is empty.
pub(crate) async fn read_body(
    request: &mut Request,
    max: usize,
    codings: Codings,
) -> Result<Bytes, BodyFault> {
    let coding = coding(request.headers(), codings)?;
    let body = std::mem::replace(request.body_mut(), Body::empty());
    let sent = collect(body, max).await?;
    match coding {
        Coding::Identity => Ok(sent),
        // An empty body has nothing to inflate, whatever its headers say.
        _ if sent.is_empty() => Ok(sent),
        Coding::Gzip => inflate(MultiGzDecoder::new(&sent[..]), max),
        Coding::Deflate => inflate(ZlibDecoder::new(&sent[..]), max),
    }
}

#[derive(Clone, Copy)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

fn coding(headers: &HeaderMap, codings: Codings) -> Result<Coding, BodyFault> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let name = match (values.next(), values.next()) {
        (None, _) => return Ok(Coding::Identity),
        (Some(value), None) => String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase(),
        (Some(_), Some(_)) => "several".to_owned(),
    };
    match (name.as_str(), codings) {
        ("identity" | "", _) => Ok(Coding::Identity),
        ("gzip" | "x-gzip", Codings::Inflate) => Ok(Coding::Gzip),
        ("deflate", Codings::Inflate) => Ok(Coding::Deflate),
        _ => Err(BodyFault::UnsupportedEncoding(name.chars().take(40).collect())),
    }
}

async fn collect(mut body: Body, max: usize) -> Result<Bytes, BodyFault> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(BodyFault::TooLarge { max });
    }
    let mut bytes = BytesMut::with_capacity(announced.min(FIRST_CAPACITY_MAX));
    while let Some(frame) = body.frame().await {
        // Trailer fields are no part of the body.
        let Ok(piece) = frame.map_err(|error| fault(&error))?.into_data() else {
            continue;
        };
        if piece.len() > max - bytes.len() {
            return Err(BodyFault::TooLarge { max });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// hyper wraps what the wire said; the cause is found by walking down.
fn fault(error: &axum::Error) -> BodyFault {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::TimedOut => BodyFault::TimedOut,
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => BodyFault::Malformed,
                _ => BodyFault::Broken,
            };
        }
        cause = error.source();
    }
    BodyFault::Broken
}

fn inflate(decoder: impl Read, max: usize) -> Result<Bytes, BodyFault> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(one_more).read_to_end(&mut bytes).map_err(|_| BodyFault::Malformed)?;
    if bytes.len() > max { Err(BodyFault::TooLarge { max }) } else { Ok(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::Body;
    use axum::extract::Request;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::{BodyFault, Codings, read_body};

    async fn read(coding: &str, body: Vec<u8>, codings: Codings) -> Result<Vec<u8>, BodyFault> {
        let mut request = Request::builder()
            .header("content-encoding", coding)
            .body(Body::from(body))
            .expect("a valid request");
        read_body(&mut request, 1000, codings).await.map(|bytes| bytes.to_vec())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    #[tokio::test]
    async fn a_body_is_inflated_where_the_route_wants_it() {
        let unsupported = |name: &str| Err(BodyFault::UnsupportedEncoding(name.to_owned()));
        let text = b"{\"amount\":1}".to_vec();
        for (coding, body, codings, result) in [
            ("identity", text.clone(), Codings::Plain, Ok(text.clone())),
            ("", text.clone(), Codings::Plain, Ok(text.clone())),
            ("gzip", gzip(&text), Codings::Plain, unsupported("gzip")),
            ("GZIP", gzip(&text), Codings::Inflate, Ok(text.clone())),
            ("deflate", deflate(&text), Codings::Inflate, Ok(text.clone())),
            ("gzip", Vec::new(), Codings::Inflate, Ok(Vec::new())),
            ("br", text.clone(), Codings::Inflate, unsupported("br")),
            ("gzip, gzip", text.clone(), Codings::Inflate, unsupported("gzip, gzip")),
            ("gzip", text.clone(), Codings::Inflate, Err(BodyFault::Malformed)),
            ("gzip", gzip(&text)[..15].to_vec(), Codings::Inflate, Err(BodyFault::Malformed)),
        ] {
            assert_eq!(read(coding, body, codings).await, result, "{coding:?} {codings:?}");
        }
    }

    #[tokio::test]
    async fn the_size_limit_holds_for_what_is_sent_and_for_what_it_inflates_to() {
        let too_large = Err(BodyFault::TooLarge { max: 1000 });
        for (coding, body, result) in [
            ("identity", vec![b'a'; 1000], Ok(vec![b'a'; 1000])),
            ("identity", vec![b'a'; 1001], too_large.clone()),
            ("gzip", gzip(&[b'a'; 1000]), Ok(vec![b'a'; 1000])),
            ("gzip", gzip(&[b'a'; 1001]), too_large.clone()),
            ("gzip", gzip(&vec![b'a'; 500_000]), too_large.clone()),
        ] {
            let length = body.len();
            assert_eq!(read(coding, body, Codings::Inflate).await, result, "{coding} of {length}");
        }
    }
}

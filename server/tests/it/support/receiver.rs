//! Somebody who is told of events: takes messages on a port of its own, keeps what it heard, and answers
//! as a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;

/// How long a message may take to come. Retries after a second and five are within it.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("messages are JSON")
    }
}

/// What becomes of a message: the status line and headers of the answer, or nothing for so long.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(&'static str),
    Silence(Duration),
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    /// `reply`: what to answer to a message, given how many came before it.
    pub(crate) fn open(
        reply: impl Fn(usize, &Message) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (reply, kept) = (Arc::new(reply), Arc::clone(&heard));
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, kept) = (Arc::clone(&reply), Arc::clone(&kept));
                thread::spawn(move || answer(stream, reply.as_ref(), &kept));
            }
        });
        Receiver { url: format!("http://{addr}/hook"), heard }
    }

    pub(crate) fn content() -> Receiver {
        Receiver::open(|_, _| Reply::Status("204 No Content"))
    }

    pub(crate) fn heard(&self) -> Vec<Message> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that came, once there are so many that `counts`.
    pub(crate) fn wait(&self, most: usize, counts: impl Fn(&Message) -> bool) -> Vec<Message> {
        let until = Instant::now() + PATIENCE;
        loop {
            let heard: Vec<Message> = self.heard().into_iter().filter(|m| counts(m)).collect();
            if heard.len() >= most {
                return heard;
            }
            assert!(Instant::now() < until, "{} of {most} messages came: {heard:?}", heard.len());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer(
    stream: TcpStream,
    reply: &(dyn Fn(usize, &Message) -> Reply + Send + Sync),
    heard: &Mutex<Vec<Message>>,
) {
    let Some(message) = read(&stream) else { return };
    let before = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(message.clone());
        heard.len() - 1
    };
    let mut stream = stream;
    match reply(before, &message) {
        Reply::Status(head) => {
            let text = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // The sender may be gone.
            drop(stream.write_all(text.as_bytes()));
        }
        Reply::Silence(time) => thread::sleep(time),
    }
}

fn read(stream: &TcpStream) -> Option<Message> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length?.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Message { headers, body: String::from_utf8(body).ok()? })
}

/// Gr4vy's signature, as its documentation has it.
pub(crate) fn gr4vy_signature(secret: &str, timestamp: &str, body: &str) -> String {
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(sign(&key, format!("{timestamp}.{body}").as_bytes()).as_ref())
}

/// That of the Standard Webhooks specification.
pub(crate) fn standard_signature(secret: &str, message: &Message) -> String {
    let text = secret.strip_prefix("whsec_").expect("a secret of this kind");
    let key = Key::new(HMAC_SHA256, &BASE64.decode(text.as_bytes()).expect("base64"));
    let (id, at) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    let tag = sign(&key, format!("{id}.{at}.{}", message.body).as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

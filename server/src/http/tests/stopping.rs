//! How serving ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::super::{Limits, Stopped};
use super::{PATIENCE, Server, limits, rest};

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_closes_the_rest() {
    let server =
        Server::start(Limits { idle_max: PATIENCE, first_byte_max: PATIENCE, ..limits() }).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("an answer");
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    server.seen.held.acquire().await.expect("never closed").forget();
    let mut uploading = server.connect().await;
    let start = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha";
    uploading.write_all(start).await.expect("the server reads");
    while server.requests() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let began = Instant::now();
    server.stop.send(()).expect("the server runs");
    assert_eq!(rest(&mut silent).await, "");
    drop(rest(&mut idle).await);
    assert!(began.elapsed() < Duration::from_secs(1), "idle connections are closed at once");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing listens any more");
    assert!(!server.serving.is_finished());

    uploading.write_all(b"lf").await.expect("the server reads");
    let answer = rest(&mut uploading).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("half"), "{answer}");
    server.seen.release.add_permits(1);
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("held"), "{answer}");
    let stopped = timeout(PATIENCE, server.serving).await.expect("in time").expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let drain_max = Duration::from_millis(200);
    let server = Server::start(Limits { drain_max, ..limits() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    server.seen.held.acquire().await.expect("never closed").forget();
    server.stop.send(()).expect("the server runs");
    let stopped = timeout(PATIENCE, server.serving).await.expect("in time").expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 1 });
    assert_eq!(rest(&mut busy).await, "");
}

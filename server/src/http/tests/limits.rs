//! What takes too long, is too large, or is too many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::super::{Limits, REFUND_BODY_MAX, Stopped};
use super::{PATIENCE, Server, limits, rest, statuses};

#[tokio::test]
async fn connections_that_wait_too_long_are_closed() {
    let server = Server::start(limits()).await;
    let ms = Duration::from_millis;
    for (name, bytes, status, soonest, latest) in [
        ("silent", "", &[][..], ms(150), ms(1000)),
        ("slow head", "GET / HTTP/1.1\r\nHost:", &[408], ms(300), ms(1000)),
        ("idle after an answer", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200], ms(200), ms(1000)),
        (
            "slow second head",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n",
            &[200, 408],
            ms(300),
            ms(1000),
        ),
        (
            "slow body",
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
            &[408],
            ms(300),
            ms(1500),
        ),
        (
            "slow chunks",
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhal",
            &[408],
            ms(300),
            ms(1500),
        ),
    ] {
        let began = Instant::now();
        let answer = server.exchange(bytes.as_bytes()).await;
        let took = began.elapsed();
        assert_eq!(statuses(&answer), status, "{name}: {answer}");
        assert!((soonest..latest).contains(&took), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn a_client_that_drips_bytes_gains_no_time() {
    let server = Server::start(limits()).await;
    for start in
        ["GET / HTTP/1.1\r\nX: ", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"]
    {
        let mut socket = server.connect().await;
        let began = Instant::now();
        socket.write_all(start.as_bytes()).await.expect("the server reads");
        let (mut reader, mut writer) = socket.split();
        let mut answer = [0; 12];
        let drip = async {
            let mut drops = tokio::time::interval(Duration::from_millis(20));
            loop {
                drops.tick().await;
                if writer.write_all(b"x").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            read = reader.read_exact(&mut answer) => drop(read.expect("an answer")),
            () = drip => {}
            () = tokio::time::sleep(PATIENCE) => panic!("no answer to {start:?}"),
        }
        assert_eq!(&answer, b"HTTP/1.1 408", "{start:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{start:?}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_announced_body_over_the_limit_is_refused_without_waiting() {
    let server = Server::start(Limits { body_max: PATIENCE, ..limits() }).await;
    for request in [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\nstart",
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n",
    ] {
        let began = Instant::now();
        let answer = server.exchange(request.as_bytes()).await;
        assert_eq!(statuses(&answer), [413], "{answer}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn endless_chunks_end_at_the_limit_and_the_answer_arrives() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("the server reads");
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    for _ in 0..100 {
        if socket.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut socket).await;
    assert_eq!(statuses(&answer), [413], "{answer}");
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_byte_more_is_not() {
    let server = Server::start(limits()).await;
    for (length, status) in [(0, 200), (REFUND_BODY_MAX, 200), (REFUND_BODY_MAX + 1, 413)] {
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = server.exchange(&[head.as_bytes(), &vec![b'a'; length]].concat()).await;
        assert_eq!(statuses(&answer), [status], "{length} bytes");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let server = Server::start(limits()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    drop(server.stop);
    // The stop waits for this connection, so its end shows that the stall was noticed.
    let stopped = timeout(PATIENCE, server.serving).await.expect("in time").expect("no panic");
    assert_eq!(stopped, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_connection_over_the_cap_is_told_to_come_back() {
    let server = Server::start(Limits { connections_max: 2, ..limits() }).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut socket = server.connect().await;
        socket.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
        server.seen.held.acquire().await.expect("never closed").forget();
        busy.push(socket);
    }
    let answer = server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(statuses(&answer), [503], "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    server.seen.release.add_permits(2);
    for mut socket in busy {
        assert_eq!(statuses(&rest(&mut socket).await), [200]);
    }
    let served =
        async { while statuses(&server.exchange(b"GET / HTTP/1.0\r\n\r\n").await) != [200] {} };
    timeout(PATIENCE, served).await.expect("there is room again");
}

#[tokio::test]
async fn a_waiting_connection_makes_room_for_a_new_one() {
    let server = Server::start(Limits {
        connections_max: 2,
        shed_after: Duration::ZERO,
        first_byte_max: PATIENCE,
        ..limits()
    })
    .await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the server reads");
    server.seen.held.acquire().await.expect("never closed").forget();
    let answer = server.exchange(b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert_eq!(rest(&mut silent).await, "");
    server.seen.release.add_permits(1);
    assert_eq!(statuses(&rest(&mut busy).await), [200]);
}

#[tokio::test]
async fn a_connection_with_half_a_body_makes_room_for_a_new_one() {
    let server = Server::start(Limits {
        connections_max: 1,
        shed_after: Duration::ZERO,
        body_max: PATIENCE,
        ..limits()
    })
    .await;
    let mut slow = server.connect().await;
    let half = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha";
    slow.write_all(half).await.expect("the server reads");
    while server.requests() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let served =
        async { while statuses(&server.exchange(b"GET / HTTP/1.0\r\n\r\n").await) != [200] {} };
    timeout(PATIENCE, served).await.expect("there is room");
    assert_eq!(statuses(&rest(&mut slow).await), [408]);
}

//! Clients that do not read their responses.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, SMALL_BUFFER, connect_from, exchange, request, webhook_request};
use crate::daemon::{Daemon, LATENESS, command, eventually, notification};
use crate::memory::memory;
use crate::tools::report;

/// Time for a client to read a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of clients that do not read, and of inputs.
const READERS: usize = 60;
const INPUTS: usize = 10_000;
/// Number of inputs that change: more than a view may hold.
const CHANGED: usize = 6000;
/// Number of clients that post concurrently.
const POSTERS: usize = 16;
/// Limit of the growth of memory in KiB.
const MAX_GROWTH: u64 = 20 << 10;

/// The command that runs a daemon with many configured inputs.
fn daemon_with_inputs(folder: &Path) -> Command {
    let inputs = (0..INPUTS).map(|number| format!("[[inputs]]\nid = \"{number:032x}\"\nname = \"Stage {number}\"\n"));
    fs::write(folder.join("exporter.toml"), inputs.collect::<String>()).unwrap();
    let mut command = command(folder);
    command.arg("--config.file=exporter.toml").env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", "1h");
    command
}

#[test]
fn slow_readers_of_long_responses_take_little_memory_and_are_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(daemon_with_inputs(folder.path()), folder.path());
    let address = daemon.private_address();
    let gzip = " | accept-encoding: gzip";
    for (head, compressed) in
        [("GET /api/v1/inputs", ""), ("GET /metrics", ""), ("GET /api/v1/inputs", gzip), ("GET /metrics", gzip)]
    {
        let whole = exchange(address, &format!("{head}{compressed}"), b"");
        assert!(!compressed.is_empty() || whole.body.len() > 1 << 20, "{head}: {} bytes", whole.body.len());
        let before = memory(&daemon, "VmRSS");
        let mut readers: Vec<_> = (0..READERS)
            .map(|_| {
                let mut stream = small_buffer(address);
                stream.write_all(&request(&format!("{head}{compressed}"), b"")).unwrap();
                stream
            })
            .collect();
        for reader in &mut readers {
            // The response has begun.
            reader.read_exact(&mut [0; 16]).unwrap();
        }
        let since = Stopwatch::start();
        let grown = memory(&daemon, "VmRSS").saturating_sub(before);
        report(&format!("{READERS} slow readers of {head}{compressed}: {} MiB", grown >> 10));
        assert!(grown < MAX_GROWTH, "{head}{compressed}: {grown} KiB");
        if head == "GET /metrics" && compressed.is_empty() {
            // Nothing is read of a request that is pipelined behind a response, but a closed connection refuses it.
            eventually("slow readers are disconnected", || {
                readers.iter_mut().all(|reader| reader.write(b"G").is_err())
            });
            assert!(since.elapsed() < RESPONSE_TIMEOUT + LATENESS, "{:?}", since.elapsed());
        }
    }
}

#[test]
fn slow_reader_is_cut_off_when_its_data_takes_too_much_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = daemon_with_inputs(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEB__COMPRESSION", "false");
    let daemon = Daemon::spawn(command, folder.path());
    let mut slow = small_buffer(daemon.private_address());
    slow.write_all(&request("GET /metrics", b"")).unwrap();
    slow.read_exact(&mut [0; 16]).unwrap();
    let (address, secret) = (daemon.public_address(), daemon.secret());
    let post = &|first: usize| {
        let mut connection = Connection::open(address).unwrap();
        for number in (first..CHANGED).step_by(POSTERS) {
            let body = notification(&format!("{number:032x}"), "errored", "2026-11-20T18:00:00Z");
            connection.send(&webhook_request(secret, &body)).unwrap();
            assert_eq!(connection.read_answer().unwrap().status, "200 OK");
        }
    };
    thread::scope(|scope| (0..POSTERS).for_each(|first| _ = scope.spawn(move || post(first))));
    let closed =
        daemon.wait_for("closed the connection of a slow reader, because the data of its response has become too old");
    assert_eq!((closed["listener"].as_str(), closed["peer"].as_str()), (Some("web"), Some("127.0.0.1")));
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "the response does not look complete");
    assert_eq!(exchange(daemon.private_address(), "GET /metrics", b"").status, "200 OK");
}

fn small_buffer(address: &str) -> TcpStream {
    connect_from(Ipv4Addr::LOCALHOST.into(), address, Some(SMALL_BUFFER)).unwrap()
}

//! Memory: everything that is bounded is filled at once, and fits into the documented limit.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rusqlite::params;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::connection::{Connection, SMALL_BUFFER, connect_from, request, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, eventually, notification};
use crate::tls::Pair;
use crate::tools::report;

/// The largest accepted body.
const BODY: usize = 64 << 10;
/// All of these bodies together take the memory for notifications.
const BODIES: usize = 256;
/// The default limits of connections, and the limits per peer.
const PUBLIC: usize = 512;
const PUBLIC_PER_PEER: usize = 128;
const PRIVATE: usize = 256;
const PRIVATE_PER_PEER: usize = 192;
/// How many of the private ones are open pages.
const STREAMS: usize = 128;
/// The default maximum of inputs, and what each remembers: together the limit of the deduplication memory.
const INPUTS: usize = 10_000;
const SEEN: usize = 447;
/// Maximum number of changes that the state of an input keeps.
const CHANGES: u64 = 256;
/// The documented maximum, in kB of /proc: 304 MB.
const LIMIT: u64 = 304_000_000 / 1024;

/// A value of /proc/PID/status in kB, such as `VmHWM`, the most memory that the process had.
pub fn memory(daemon: &Daemon, name: &str) -> u64 {
    daemon.process_status(name).trim_end_matches(" kB").parse().expect("a number")
}

/// The address of client `number`, when `per_peer` clients share an address.
fn source(number: usize, per_peer: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(2 + number / per_peer).unwrap()).into()
}

fn overloaded(daemon: &Daemon) -> f64 {
    daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#).unwrap()
}

#[test]
fn bodies_that_are_being_read_take_memory_by_their_declared_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "1h");
    let daemon = Daemon::spawn(command, folder.path());
    let event =
        |second: u32| notification(&format!("{:032x}", 7), "errored", &format!("2026-11-20T18:00:{second:02}Z"));
    let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {BODY}", daemon.secret());
    let mut waiting = Vec::new();
    for number in 0..BODIES {
        let mut connection =
            Connection::open_from(source(number, PUBLIC_PER_PEER - 1), daemon.public_address()).unwrap();
        connection.send(&request(&head, b"{")).unwrap();
        waiting.push(connection);
        if number == BODIES - 2 {
            assert_eq!(daemon.post(&event(0)).status, 200, "there is memory for one more");
        }
    }
    // The daemon reads the last head before the first or the second of these.
    assert!((1..9).any(|second| daemon.post(&event(second)).status == 503), "the memory is full");
    assert!(overloaded(&daemon) > 0.0);
    waiting.pop();
    eventually("the memory is released", || daemon.post(&event(59)).status == 200);
}

/// Starts and stops a daemon, and then lets its journal have as many inputs as the limit, each with full memories.
fn fill_journal(folder: &Path) {
    assert!(Daemon::start(folder).stop().success());
    let database = rusqlite::Connection::open(folder.join("data/journal.db")).unwrap();
    let begin = 1_795_197_600_000_000_000u64;
    let changes: Vec<_> = (0..CHANGES).map(|number| (begin + 1_000_000_000 * number, 2 | (number % 2))).collect();
    let last = changes[changes.len() - 1].0;
    let connection = json!({ "connected": true, "since": last, "confirmed": true, "counted": false });
    let counts = json!({ "sessions": 1, "reconnects": 127, "inconsistent": [0, 0] });
    let now = json!({ "connection": connection, "newest": last, "session": begin, "closed": 0, "counts": counts });
    let errors =
        json!({ "errors": [1, 1, 1, 1, 1, 1, 1], "last_error": vec![begin; 7], "last_other_code": "x".repeat(64) });
    let shown = json!({ "counts": counts, "connected": 0 });
    let state = json!({
        "known_since": begin, "events": [128, 128], "last_event": [last, last], "errors": errors, "base": now,
        "list": changes, "now": now, "recorded_at": last, "shown_until": last, "shown": shown,
    });
    let seen: Vec<u8> =
        (0..SEEN as u64).flat_map(|number| (begin + number).to_le_bytes().into_iter().chain([9, 9, 9, 9])).collect();
    database.execute_batch("BEGIN").unwrap();
    for number in 0..INPUTS {
        let sql = "INSERT INTO inputs (input_id, position, version, state, seen) VALUES (?1, 0, 2, ?2, ?3)";
        database.execute(sql, params![format!("{number:032x}"), state.to_string(), seen]).unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
}

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// Sends a request over TLS and reads the beginning of the response, which has this status.
fn ask(client: &mut TlsClient, request: &[u8], status: &str) {
    client.write_all(request).unwrap();
    let mut answer = [0; 4096];
    let length = client.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
}

/// Opens pages that show different parts of the list, so that none shares its updates with another one.
fn open_pages(daemon: &Daemon) -> Vec<TcpStream> {
    let open = |number: usize| {
        let mut page = connect_from(source(0, PRIVATE_PER_PEER), daemon.private_address(), Some(SMALL_BUFFER)).unwrap();
        let (page_number, sort) = (1 + number % 100, if number < 100 { "name" } else { "since" });
        let address = format!("GET /updates?page=%3Fsort%3D{sort}%26page%3D{page_number}");
        page.write_all(&request(&address, b"")).unwrap();
        page
    };
    (0..STREAMS).map(open).collect()
}

#[test]
fn all_bounded_memory_together_fits_into_the_documented_limit() {
    let folder = tempfile::tempdir().unwrap();
    fill_journal(folder.path());
    let mut command = command(folder.path());
    for (key, value) in [("BODY_TIMEOUT", "1h"), ("IDLE_TIMEOUT", "1h")] {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    let pair = Pair::new();
    pair.write(folder.path(), &mut command);
    let daemon = Daemon::spawn(command, folder.path());
    assert_eq!(daemon.wait_for("journal restored")["inputs"], INPUTS);
    let mut steps = vec![("restored", memory(&daemon, "VmHWM"))];

    let client_config = Arc::new(pair.client());
    let test = webhook_request(daemon.secret(), r#"{"text": "Hello World"}"#);
    let open = |number: usize| {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tcp = connect_from(source(number, PUBLIC_PER_PEER), daemon.public_address(), None).unwrap();
        let mut client = StreamOwned::new(ClientConnection::new(client_config.clone(), name).unwrap(), tcp);
        // With a valid secret, the connection may be idle and is not evicted.
        ask(&mut client, &test, "200 OK");
        client
    };
    let mut clients: Vec<TlsClient> = (0..PUBLIC).map(open).collect();
    steps.push(("connections", memory(&daemon, "VmHWM")));

    // One of them sends the notifications below, so there must be memory for one body more.
    let (bodies, heads) = clients.split_at_mut(BODIES - 1);
    let (sender, heads) = heads.split_first_mut().unwrap();
    let body = request(
        &format!("POST /webhook | cf-webhook-auth: {} | content-length: {BODY}", daemon.secret()),
        " ".repeat(BODY - 1).as_bytes(),
    );
    bodies.iter_mut().for_each(|client| client.write_all(&body).unwrap());
    let head = format!("GET /-/healthy HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(15 << 10));
    heads.iter_mut().for_each(|client| client.write_all(head.as_bytes()).unwrap());
    steps.push(("bodies and heads", memory(&daemon, "VmHWM")));

    let mut pages = open_pages(&daemon);
    pages.iter_mut().for_each(|page| page.read_exact(&mut [0; 16]).unwrap());
    steps.push(("open pages", memory(&daemon, "VmHWM")));

    let lines: String = (0..90).map(|number| format!(" | x-{number}: y")).collect();
    let pipelined = request(&format!("GET /-/healthy{lines}"), b"").repeat(16);
    let mut readers: Vec<_> = (STREAMS..PRIVATE - 1)
        .map(|number| {
            let source = source(number, PRIVATE_PER_PEER);
            let mut reader = connect_from(source, daemon.private_address(), Some(SMALL_BUFFER)).unwrap();
            reader.write_all(&request("GET /metrics | accept-encoding: gzip", b"")).unwrap();
            // More requests are not parsed before the response has been read. Each would take 27 KiB.
            reader.write_all(&pipelined).unwrap();
            reader
        })
        .collect();
    // The responses have begun, so they hold views.
    readers.iter_mut().for_each(|reader| reader.read_exact(&mut [0; 16]).unwrap());
    steps.push(("slow readers", memory(&daemon, "VmHWM")));

    let message = "z".repeat(2000);
    for number in 0..1700 {
        let at = format!("2026-11-20T18:{:02}:{:02}Z", 10 + number / 60 % 40, number % 60);
        let body = notification(&format!("{number:032x}"), "errored", &at)
            .replace("\"data\":", &format!("\"x\": \"{message}\", \"data\":"));
        ask(sender, &webhook_request(daemon.secret(), &body), "200 OK");
    }
    steps.push(("changed inputs", memory(&daemon, "VmHWM")));

    // Longer heads are not kept. The daemon may close the connection before everything is sent.
    heads.iter_mut().for_each(|client| _ = client.write_all(&[b'y'; 110 << 10]));
    let is_rejected = |client: &mut TlsClient| {
        let mut answer = [0; 12];
        client.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        client.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 431"
    };
    let rejected = heads.iter_mut().map(is_rejected).take_while(|rejected| *rejected).count();
    let all = memory(&daemon, "VmHWM");
    steps.push(("longer heads", all));
    report(&format!("memory in kB, of at most {LIMIT}: {steps:?}"));
    assert!(all < LIMIT, "{steps:?}");
    assert_eq!(rejected, heads.len());
    drop((clients, readers, pages));
}

#[test]
fn memory_limit_of_the_compose_stack_exceeds_process_and_kernel_buffers() {
    let compose =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose/compose.yaml")).unwrap();
    let exporter = compose.split("x-exporter:").nth(1).unwrap();
    let limit = exporter.lines().find_map(|line| line.trim().strip_prefix("mem_limit: ")).unwrap();
    let limit: u64 = limit.strip_suffix('m').unwrap().parse().unwrap();
    let buffers = PUBLIC as u64 * 64 + PRIVATE as u64 * 288;
    assert!(limit * 1024 > LIMIT + buffers, "{limit} MiB");
}

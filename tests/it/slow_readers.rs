//! Clients that do not read their responses.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{exchange, request};
use crate::daemon::{Daemon, LATENESS, command, eventually};
use crate::tools::report;

/// Time for a client to read a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of clients that do not read, and of inputs.
const READERS: usize = 200;
const INPUTS: usize = 10_000;
/// Limit of the growth of memory in KiB.
const MAX_GROWTH: u64 = 64 << 10;

fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("there is such a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn slow_readers_of_long_responses_take_little_memory_and_are_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = (0..INPUTS).map(|number| format!("[[inputs]]\nid = \"{number:032x}\"\nname = \"Stage {number}\"\n"));
    fs::write(folder.path().join("exporter.toml"), inputs.collect::<String>()).unwrap();
    let mut command = command(folder.path());
    command.arg("--config.file=exporter.toml").env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", "1h");
    let daemon = Daemon::spawn(command, folder.path());
    let address = daemon.private_address();
    let gzip = " | accept-encoding: gzip";
    for (head, compressed) in
        [("GET /api/v1/inputs", ""), ("GET /metrics", ""), ("GET /api/v1/inputs", gzip), ("GET /metrics", gzip)]
    {
        let whole = exchange(address, &format!("{head}{compressed}"), b"");
        assert!(!compressed.is_empty() || whole.body.len() > 1 << 20, "{head}: {} bytes", whole.body.len());
        let before = resident(&daemon);
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
        let grown = resident(&daemon).saturating_sub(before);
        report(&format!("{READERS} slow readers of {head}{compressed}: {} MiB", grown >> 10));
        assert!(grown < MAX_GROWTH, "{head}{compressed}: {grown} KiB");
        if head == "GET /metrics" && compressed.is_empty() {
            let open = || daemon.metric("stream_live_exporter_connections{listener=\"web\"}").unwrap();
            eventually("slow readers are disconnected", || open() < READERS as f64 / 2.0);
            assert!(since.elapsed() < RESPONSE_TIMEOUT + LATENESS, "{:?}", since.elapsed());
        }
    }
}

/// A connection whose receive buffer is small, so that the daemon cannot write all of a response.
fn small_buffer(address: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

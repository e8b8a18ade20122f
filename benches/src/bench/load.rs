//! Load generator: posts requests from one thread with epoll, on keep-alive connections.
//!
//! Closed loop: each connection sends its next request when the previous one is answered. Open loop: request `i` is due
//! `i / rate` after the start, whether or not earlier ones are answered. Its latency counts from then, so that a stall
//! also counts for the requests that become due during it (no coordinated omission).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::interrupt;
use crate::payload::Payload;

/// A run fails if no response arrives for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_DURATION: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests per second in an open loop; `None` means a closed loop.
    pub rate: Option<f64>,
    /// The run ends after this time, or earlier once `requests` are answered.
    pub duration: Duration,
    pub requests: u64,
}

pub struct Outcome {
    pub answered: u64,
    pub seconds: f64,
    /// In microseconds.
    latency: Histogram<u64>,
}

impl Outcome {
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// In milliseconds.
    pub fn latency(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    written: usize,
    response: Vec<u8>,
    /// When its request was due.
    due: Instant,
}

struct Run<'a> {
    poll: OwnedFd,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    payload: &'a mut Payload,
    outcome: Outcome,
}

/// # Errors
///
/// If a connection breaks, a response is not 2xx, or responses stop.
pub fn run(plan: &Plan, payload: &mut Payload) -> anyhow::Result<Outcome> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        interrupt::check()?;
        let connection = Connection::open(plan.address, payload)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&poll, &connection.stream, EventData::new_u64(number as u64), flags)?;
        connections.push(connection);
    }
    let latency = Histogram::new_with_bounds(1, 100_000_000, 3)?;
    let outcome = Outcome { answered: 0, seconds: 0.0, latency };
    let idle = (0..plan.connections).rev().collect();
    Run { poll, connections, idle, payload, outcome }.until_end(plan)
}

impl Run<'_> {
    fn until_end(mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let end = start + plan.duration.min(MAX_DURATION);
        let mut events = Vec::with_capacity(1024);
        let (mut sent, mut last_response) = (0_u64, start);
        loop {
            let now = Instant::now();
            if now >= end || self.outcome.answered >= plan.requests {
                break;
            }
            ensure!(
                now - last_response < STALL_TIMEOUT || self.idle.len() == plan.connections,
                "no response for {STALL_TIMEOUT:?}"
            );
            interrupt::check()?;
            let mut next = end;
            match plan.rate {
                None => {
                    while sent < plan.requests
                        && let Some(number) = self.idle.pop()
                    {
                        sent += 1;
                        self.send(number, now)?;
                    }
                }
                Some(rate) => loop {
                    let due = start + Duration::from_secs_f64(sent as f64 / rate);
                    let Some(number) = (due <= now).then(|| self.idle.pop()).flatten() else {
                        next = if self.idle.is_empty() { end } else { due.min(end) };
                        break;
                    };
                    sent += 1;
                    self.send(number, due)?;
                },
            }
            let timeout = next.saturating_duration_since(now).min(Duration::from_millis(100));
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
            epoll::wait(&self.poll, spare_capacity(&mut events), Some(&timeout))?;
            for event in events.drain(..) {
                let number = usize::try_from(event.data.u64())?;
                if self.connections[number].advance()? {
                    last_response = Instant::now();
                    self.outcome.answered += 1;
                    self.outcome.latency.saturating_record(micros(last_response - self.connections[number].due));
                    match plan.rate {
                        // Send at once, while the connection is in the CPU cache.
                        None if sent < plan.requests => {
                            sent += 1;
                            self.send(number, last_response)?;
                        }
                        _ => self.idle.push(number),
                    }
                }
            }
        }
        if let Some(rate) = plan.rate {
            self.count_late(start, end, sent, rate);
        }
        self.outcome.seconds = start.elapsed().as_secs_f64();
        Ok(self.outcome)
    }

    /// Counts requests that were due but are not answered, with the time that they have waited so far.
    fn count_late(&mut self, start: Instant, end: Instant, sent: u64, rate: f64) {
        let in_flight = (0..self.connections.len()).filter(|number| !self.idle.contains(number));
        let waits = in_flight.map(|number| self.connections[number].due);
        let unsent = (sent..).map(|number| start + Duration::from_secs_f64(number as f64 / rate));
        for due in waits.chain(unsent.take_while(|due| *due < end)) {
            self.outcome.latency.saturating_record(micros(end.saturating_duration_since(due)));
        }
    }

    fn send(&mut self, number: usize, due: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        self.payload.write_next(&mut connection.request);
        (connection.written, connection.due) = (0, due);
        connection.write()
    }
}

impl Connection {
    /// Connects and sends a first request: a server may have a short timeout for that one.
    fn open(address: SocketAddr, payload: &mut Payload) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL_TIMEOUT))?;
        let response = Vec::with_capacity(1024);
        let mut connection = Self { stream, request: Vec::new(), written: 0, response, due: Instant::now() };
        payload.write_next(&mut connection.request);
        while !connection.advance()? {}
        connection.stream.set_nonblocking(true)?;
        Ok(connection)
    }

    fn write(&mut self) -> anyhow::Result<()> {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot write a request"),
            }
        }
        Ok(())
    }

    /// Writes and reads without blocking. Returns whether the response is complete.
    fn advance(&mut self) -> anyhow::Result<bool> {
        self.write()?;
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => self.response.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("cannot read a response"),
        }
        let mut headers = [httparse::EMPTY_HEADER; 24];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(&self.response)? else { return Ok(false) };
        let content_length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body: usize = content_length
            .map_or(Ok(0), |header| std::str::from_utf8(header.value)?.parse().context("invalid content-length"))?;
        let status = head.code.unwrap_or(0);
        ensure!((200..300).contains(&status), "status {status}: {}", String::from_utf8_lossy(&self.response));
        let complete = self.response.len() >= length + body;
        if complete {
            self.response.clear();
        }
        Ok(complete)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

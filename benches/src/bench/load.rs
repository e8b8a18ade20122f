//! Posts requests from one thread over epoll, on connections that are kept.
//!
//! Closed: every connection sends its next request when the one before is answered. Open: request `i` is due `i / rate`
//! after the start, whether or not the ones before were answered, and its latency counts from then: a server that
//! stalls is charged for all who would have come meanwhile.

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

/// A stall of this length ends a run.
const LONGEST: Duration = Duration::from_secs(30);
const LONGEST_RUN: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests per second; `None` is closed.
    pub rate: Option<f64>,
    /// The run ends after this time, or earlier when `requests` are answered.
    pub duration: Duration,
    pub requests: u64,
}

/// What became of the requests.
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
    since: Instant,
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
/// A connection broke, a request was refused, or the answers stopped.
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
        let end = start + plan.duration.min(LONGEST_RUN);
        let mut events = Vec::with_capacity(1024);
        let (mut sent, mut heard) = (0_u64, start);
        loop {
            let now = Instant::now();
            if now >= end || self.outcome.answered >= plan.requests {
                break;
            }
            ensure!(now - heard < LONGEST || self.idle.len() == plan.connections, "no answer for {LONGEST:?}");
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
                    heard = Instant::now();
                    self.outcome.answered += 1;
                    self.outcome.latency.saturating_record(micros(heard - self.connections[number].since));
                    match plan.rate {
                        // At once, not after all others: as long as the cache has it.
                        None if sent < plan.requests => {
                            sent += 1;
                            self.send(number, heard)?;
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

    /// What was due and is not answered yet has waited until now at least.
    fn count_late(&mut self, start: Instant, end: Instant, sent: u64, rate: f64) {
        let under_way = (0..self.connections.len()).filter(|number| !self.idle.contains(number));
        let waits = under_way.map(|number| self.connections[number].since);
        let unsent = (sent..).map(|number| start + Duration::from_secs_f64(number as f64 / rate));
        for since in waits.chain(unsent.take_while(|due| *due < end)) {
            self.outcome.latency.saturating_record(micros(end.saturating_duration_since(since)));
        }
    }

    fn send(&mut self, number: usize, due: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[number];
        self.payload.write_next(&mut connection.request);
        (connection.written, connection.since) = (0, due);
        connection.write()
    }
}

impl Connection {
    /// One that has been answered once already: a server may give the first request of a connection little time.
    fn open(address: SocketAddr, payload: &mut Payload) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        let response = Vec::with_capacity(1024);
        let mut connection = Self { stream, request: Vec::new(), written: 0, response, since: Instant::now() };
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
                Err(error) => return Err(error).context("a request cannot be written"),
            }
        }
        Ok(())
    }

    /// Writes and reads as far as it goes; whether the answer is whole.
    fn advance(&mut self) -> anyhow::Result<bool> {
        self.write()?;
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => self.response.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("an answer cannot be read"),
        }
        let mut headers = [httparse::EMPTY_HEADER; 24];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(&self.response)? else { return Ok(false) };
        let announced = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body: usize =
            announced.map_or(Ok(0), |header| std::str::from_utf8(header.value)?.parse().context("a length"))?;
        let status = head.code.unwrap_or(0);
        ensure!((200..300).contains(&status), "answered {status}: {}", String::from_utf8_lossy(&self.response));
        let whole = self.response.len() >= length + body;
        if whole {
            self.response.clear();
        }
        Ok(whole)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

//! A web server that receives the messages to the pager, the chat and the dead man's switch.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use stream_live_exporter::clock::now;
use stream_live_exporter::event::Timestamp;

use crate::daemon::{PATIENCE, within};

/// Colour of a message about alerts that have all ended.
pub const ENDED: &str = "#9e9e9e";

/// A web server on loopback. The first path segment is the receiver.
pub struct Sink {
    pub url: String,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub to: String,
    pub at: Timestamp,
    pub body: Value,
}

impl Arrival {
    /// The parts that Slack shows: title, text, fallback (on a lock screen), colour.
    pub fn texts(&self) -> [&str; 4] {
        ["title", "text", "fallback", "color"]
            .map(|key| self.body["attachments"][0][key].as_str().expect("the message has Slack's format"))
    }

    /// Whether its title or text contains this part.
    pub fn has(&self, part: &str) -> bool {
        self.texts()[..2].iter().any(|text| text.contains(part))
    }
}

impl Sink {
    /// Listens on a free port until the process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("the socket is bound"));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let received = arrivals.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let received = received.clone();
                // A broken connection carries no message: ignore it.
                thread::spawn(move || receive(&stream, &received));
            }
        });
        Self { url, arrivals }
    }

    /// All messages so far, in order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().expect("the lock is not poisoned").clone()
    }

    /// Waits until `find` finds something in the messages to this receiver. Some are sent only after most of a minute.
    pub fn wait_for(&self, to: &str, what: &str, find: impl Fn(Vec<Arrival>) -> Option<Arrival>) -> Arrival {
        let mut found = None;
        within(2 * PATIENCE, &format!("{to} gets {what}"), || {
            found = find(self.arrivals().into_iter().filter(|arrival| arrival.to == to).collect());
            found.is_some()
        });
        found.expect("it was waited for")
    }
}

/// Reads and stores one request. Answers as Slack does, because Alertmanager checks the body.
fn receive(mut stream: &TcpStream, received: &Mutex<Vec<Arrival>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        match line.strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().ok()?,
            None if line.is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let to = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let body = serde_json::from_slice(&body).ok()?;
    received.lock().expect("the lock is not poisoned").push(Arrival { to, at: now(), body });
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").ok()
}

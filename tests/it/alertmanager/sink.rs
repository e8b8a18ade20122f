//! Takes the place of the pager, the chat and the dead man's switch: remembers what is sent to each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use stream_live_exporter::clock::now;
use stream_live_exporter::event::Timestamp;

use crate::daemon::{PATIENCE, within};

/// A web server on loopback. Its first path segment says for whom it stands.
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
    /// What Slack shows of it: title, text, what a telephone's lock screen shows, colour.
    pub fn words(&self) -> [&str; 4] {
        ["title", "text", "fallback", "color"]
            .map(|key| self.body["attachments"][0][key].as_str().expect("the message is Slack's"))
    }

    /// Whether its title or its text has these words.
    pub fn has(&self, words: &str) -> bool {
        self.words()[..2].iter().any(|text| text.contains(words))
    }
}

impl Sink {
    /// Listens on a free port, as long as the process lives.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("the socket is bound"));
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let kept = arrivals.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                // A connection that breaks was no message.
                thread::spawn(move || receive(&stream, &kept));
            }
        });
        Self { url, arrivals }
    }

    /// All messages so far, in the order in which they arrived.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().expect("nobody panicked").clone()
    }

    /// Waits until there is what `find` finds among the messages to this receiver. Some are due only after
    /// most of a minute.
    pub fn wait_for(&self, to: &str, what: &str, find: impl Fn(Vec<Arrival>) -> Option<Arrival>) -> Arrival {
        let mut found = None;
        within(2 * PATIENCE, &format!("{to} gets {what}"), || {
            found = find(self.arrivals().into_iter().filter(|arrival| arrival.to == to).collect());
            found.is_some()
        });
        found.expect("it was waited for")
    }
}

/// Reads one request, keeps it, and answers as Slack does: Alertmanager wants to see that.
fn receive(mut stream: &TcpStream, kept: &Mutex<Vec<Arrival>>) -> Option<()> {
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
    kept.lock().expect("nobody panicked").push(Arrival { to, at: now(), body });
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").ok()
}

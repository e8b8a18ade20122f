//! A mail server on loopback that keeps the messages. It speaks the part of SMTP that Alertmanager uses: one message for
//! each connection, after a login.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::daemon::{PATIENCE, within};

pub struct MailServer {
    /// Host and port.
    pub address: String,
    mails: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl MailServer {
    /// Listens on a free port until the process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("the socket is bound").to_string();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let received = mails.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let received = received.clone();
                // A broken connection carries no message: ignore it.
                thread::spawn(move || receive(&stream, &received));
            }
        });
        Self { address, mails }
    }

    /// Waits for a mail with these headers. Alertmanager writes them in any order.
    pub fn wait_for(&self, headers: &[String]) -> Vec<u8> {
        let has = |mail: &[u8]| {
            let mail = String::from_utf8_lossy(mail);
            headers.iter().all(|header| mail.contains(&format!("{header}\r\n")))
        };
        let mut found = None;
        within(2 * PATIENCE, &format!("a mail with {headers:?}"), || {
            let mails = self.mails.lock().expect("the lock is not poisoned");
            found = mails.iter().find(|mail| has(mail)).cloned();
            found.is_some()
        });
        found.expect("it was waited for")
    }
}

fn receive(mut stream: &TcpStream, received: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
    stream.write_all(b"220 sink\r\n").ok()?;
    while let Some(line) = lines.next() {
        let command: Vec<u8> = line.iter().take(4).map(u8::to_ascii_uppercase).collect();
        let answer: &[u8] = match command.as_slice() {
            b"EHLO" => b"250-sink\r\n250 AUTH PLAIN\r\n",
            b"AUTH" => b"235 accepted\r\n",
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").ok()?;
                let mut mail = Vec::new();
                for line in lines.by_ref().take_while(|line| line != b".\r") {
                    mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                    mail.push(b'\n');
                }
                received.lock().expect("the lock is not poisoned").push(mail);
                b"250 kept\r\n"
            }
            b"QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).ok()?;
    }
    Some(())
}

//! A raw HTTP connection: tests control every byte that is sent, and see every byte of the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::daemon::PATIENCE;

/// A receive buffer of a client that reads slowly, in bytes. The daemon cannot write all of a long response.
pub const SMALL_BUFFER: usize = 4096;

/// Connects from an address of this machine to `host:port`, with this size of the receive buffer if it is given.
pub fn connect_from(source: IpAddr, address: &str, receive_buffer: Option<usize>) -> io::Result<TcpStream> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&address.into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// A connection to one of the daemon's listeners.
pub struct Connection(BufReader<TcpStream>);

/// An answer as received. A chunked body is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawAnswer {
    /// Such as `200 OK`.
    pub status: String,
    /// By lower-case name. The order of the server is random.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(address: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address.parse().map_err(io::Error::other)?, PATIENCE)?)
    }

    /// Connects from another address of this machine.
    pub fn open_from(source: IpAddr, address: &str) -> io::Result<Self> {
        Self::over(connect_from(source, address, None)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads an answer with its body.
    pub fn read_answer(&mut self) -> io::Result<RawAnswer> {
        let mut answer = self.read_head()?;
        answer.body = match answer.header("content-length") {
            "" if answer.header("transfer-encoding") == "chunked" => self.read_chunks()?,
            length => self.read_exactly(length.parse().map_err(io::Error::other)?)?,
        };
        Ok(answer)
    }

    /// Reads an answer without a body: to `HEAD`, or `100 Continue`.
    pub fn read_head(&mut self) -> io::Result<RawAnswer> {
        let status = self.read_line()?;
        let after_version = ["HTTP/1.1 ", "HTTP/1.0 "].into_iter().find_map(|version| status.strip_prefix(version));
        let status = after_version.ok_or_else(|| io::Error::other(format!("not HTTP: {status}")))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(": ") else {
                return Ok(RawAnswer { status: status.to_owned(), headers, body: Vec::new() });
            };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }

    /// Reads until the connection is closed.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            // The daemon closed it with unread data, so the kernel sent a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(rest),
            read => read.map(|_| rest),
        }
    }

    /// Whether the connection is open and no data is waiting.
    pub fn is_open(&self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("the socket is ours");
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("the socket is ours");
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end_matches("\r\n").to_owned()),
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.read_chunk()? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads the next chunk of a body; `None` after the last one.
    pub fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.read_line()?, 16).map_err(io::Error::other)?;
        let mut chunk = self.read_exactly(size + 2)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl RawAnswer {
    /// The value of a header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// One line without the `date` header: `status | header: value | ... | body`.
impl fmt::Display for RawAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "date") {
            write!(f, " | {name}: {value}")?;
        }
        if self.body.is_empty() { Ok(()) } else { write!(f, " | {}", String::from_utf8_lossy(&self.body)) }
    }
}

/// A request; the head is written as `POST /webhook | name: value | ...`.
pub fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let (line, headers) = head.split_once(" | ").unwrap_or((head, ""));
    let headers = headers.split(" | ").filter(|header| !header.is_empty());
    let headers: String = headers.map(|header| format!("{header}\r\n")).collect();
    let mut request = format!("{line} HTTP/1.1\r\nhost: stream.example.com\r\n{headers}\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request that posts a notification to the webhook.
pub fn webhook_request(secret: &str, body: &str) -> Vec<u8> {
    let head = format!("POST /webhook | cf-webhook-auth: {secret} | content-length: {}", body.len());
    request(&head, body.as_bytes())
}

/// Sends a request on a new connection and reads the answer.
pub fn exchange(address: &str, head: &str, body: &[u8]) -> RawAnswer {
    let mut connection = Connection::open(address).expect("the daemon listens");
    connection.send(&request(head, body)).expect("the daemon reads");
    let read = if head.starts_with("HEAD ") { Connection::read_head } else { Connection::read_answer };
    read(&mut connection).unwrap_or_else(|error| panic!("{head}: no answer: {error}"))
}

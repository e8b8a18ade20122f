//! Reads files for requests and handshakes, which must not wait for a file system that hangs.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::Stopwatch;

/// How long a caller waits. While a read hangs, later callers do not wait at all.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Number of callers that may wait.
const MAX_WAITING: usize = 64;

/// Reads a file, with a time limit.
///
/// # Errors
///
/// The file cannot be read, or not in time.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    static READER: OnceLock<Reader> = OnceLock::new();
    READER.get_or_init(|| Reader::start(|path| fs::read(path))).read(path)
}

/// A thread that reads files, one at a time.
struct Reader {
    requests: SyncSender<Request>,
    under_way: UnderWay,
}

/// When the read that is under way began, if there is one.
type UnderWay = Arc<Mutex<Option<Stopwatch>>>;

struct Request {
    path: PathBuf,
    result: SyncSender<io::Result<Vec<u8>>>,
}

impl Reader {
    fn start(read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + 'static) -> Self {
        let (requests, received): (_, Receiver<Request>) = sync_channel(MAX_WAITING);
        let under_way = UnderWay::default();
        let reading = under_way.clone();
        // Without the thread, the channel is closed and every read fails.
        let _ = thread::Builder::new().name("files".into()).spawn(move || {
            for Request { path, result } in received {
                *lock(&reading) = Some(Stopwatch::start());
                let read = read(&path);
                *lock(&reading) = None;
                // The caller may have stopped waiting.
                let _ = result.try_send(read);
            }
        });
        Self { requests, under_way }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let late = || io::Error::new(ErrorKind::TimedOut, "the file system does not respond");
        if self.hangs() {
            return Err(late());
        }
        let (result, read) = sync_channel(1);
        self.requests.try_send(Request { path: path.to_owned(), result }).map_err(|_| late())?;
        read.recv_timeout(TIMEOUT).unwrap_or_else(|_| Err(late()))
    }

    fn hangs(&self) -> bool {
        lock(&self.under_way).is_some_and(|stopwatch| stopwatch.elapsed() >= TIMEOUT)
    }
}

fn lock(under_way: &UnderWay) -> MutexGuard<'_, Option<Stopwatch>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hanging_read_fails_in_time_and_later_reads_fail_until_it_ends() {
        let (end, ended) = sync_channel::<()>(0);
        let reader = Reader::start(move |path| {
            if path == Path::new("hanging") {
                ended.recv().unwrap();
            }
            Ok(path.as_os_str().as_encoded_bytes().to_vec())
        });
        assert_eq!(reader.read(Path::new("file")).unwrap(), b"file");
        for path in ["hanging", "file", "file"] {
            assert_eq!(reader.read(Path::new(path)).unwrap_err().kind(), ErrorKind::TimedOut, "{path}");
        }
        end.send(()).unwrap();
        while reader.hangs() {
            thread::yield_now();
        }
        assert_eq!(reader.read(Path::new("file")).unwrap(), b"file");
    }
}

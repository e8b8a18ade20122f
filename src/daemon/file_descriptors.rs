//! The limit of open files: one per connection, and some for the daemon itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not connections: journal, listening sockets, the workers' event loops.
const RESERVED: usize = 128;

/// Raises the soft limit to the hard limit, and warns if that is too low for this many connections.
///
/// The soft limit is low for the sake of programs that use `select(2)`, which this one does not.
pub(super) fn raise_limit(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let needed = connections.saturating_add(RESERVED) as u64;
    // `None` means unlimited.
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(limit, needed, "open file limit is lower than the connection limits need");
    }
}

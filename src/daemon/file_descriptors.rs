//! How many descriptors the daemon may have: one for each connection, and some for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many are not connections: the journal, sockets, what each worker waits with.
const OWN: usize = 128;

/// Raises the soft limit to the hard one, and says when that does not suffice for so many connections.
///
/// The soft limit is low for programs that cannot deal with high numbers, which this one can.
pub(super) fn provide(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    let needed = connections.saturating_add(OWN) as u64;
    // None is no limit.
    if let Some(limit) = limit.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "there may be fewer open files than connections need; those beyond wait until others end"
        );
    }
}

//! Overload: memory stays bounded, excess notifications get 503, and the daemon recovers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Fault, journaled, post_on, recorder, strace, updated_at};
use crate::connection::Connection;
use crate::daemon::{Daemon, OverWhenDropped, command, eventually, notification};
use crate::memory::memory;
use crate::tools::report;

/// Number of clients that post concurrently, each as fast as it gets answers.
const POSTERS: u64 = 40;
/// The disk takes one queue of notifications per sync.
const QUEUE_SIZE: u64 = 8;
const SYNCS_PER_SECOND: u64 = 2;
/// Number of rejected notifications before the checks. A slow machine must reach it within `PATIENCE`.
const REFUSED: u64 = 4000;
/// Limit of the growth of memory in KiB.
const MAX_GROWTH: u64 = 32 << 10;

/// The outcomes of all posted notifications.
#[derive(Default)]
struct Tally {
    accepted: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    /// Posts distinct events of many inputs on one connection until the test is over.
    fn post(&self, address: &str, secret: &str, poster: u64) {
        let mut connection = Connection::open(address).unwrap();
        for number in 0u64.. {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let updated_at = updated_at(number * POSTERS + poster);
            let body = notification(&format!("{:032x}", poster * 256 + number % 256), "errored", &updated_at);
            let answer = post_on(&mut connection, secret, &body).expect("every request is answered");
            match answer.status.as_str() {
                "200 OK" => _ = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(updated_at),
                "503 Service Unavailable" => {
                    assert_eq!(
                        (answer.header("retry-after"), answer.text()),
                        ("5", r#"{"error":"overloaded, try again"}"#)
                    );
                    self.refused.fetch_add(1, Ordering::AcqRel);
                }
                status => panic!("answered {status}"),
            }
        }
    }

    fn accepted(&self) -> u64 {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }
}

#[test]
fn tenfold_overload_is_rejected_in_bounded_memory_and_recovers() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut small = command(folder.path());
    small.env("STREAM_LIVE_EXPORTER__WEBHOOK__QUEUE_SIZE", QUEUE_SIZE.to_string());
    let daemon = Daemon::spawn(small, folder.path());
    let (address, secret) = (daemon.public_address(), daemon.secret());
    let tally = Tally::default();
    let delay = format!("fsync,fdatasync:delay_enter={}ms", 1000 / SYNCS_PER_SECOND);
    thread::scope(|scope| {
        let _over = OverWhenDropped(&tally.over);
        let fault = Fault::of_thread(&strace, recorder(&daemon), &[&delay]);
        for poster in 0..POSTERS {
            let tally = &tally;
            scope.spawn(move || tally.post(address, secret, poster));
        }
        // Every client has been served before the first measurement.
        eventually("some notifications are rejected", || tally.refused() > REFUSED / 4);
        let before = memory(&daemon, "VmRSS");
        eventually("many more notifications are rejected than accepted", || tally.refused() > REFUSED);
        // The daemon stays healthy and counts the rejections.
        assert_eq!(daemon.get("/-/healthy").status, 200);
        assert_eq!(daemon.get("/-/ready").status, 200);
        let rejected = daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#);
        assert!(rejected >= Some(REFUSED as f64), "{rejected:?}");
        assert!(tally.refused() > 9 * tally.accepted(), "{} of {}", tally.refused(), tally.accepted());
        let after = memory(&daemon, "VmHWM");
        assert!(after < before + MAX_GROWTH, "from {before} kB to {after} kB");
        // The disk is fast again: the same clients post on, and their notifications are accepted.
        drop(fault);
        let (accepted, refused) = (tally.accepted(), tally.refused());
        eventually("notifications are accepted again", || tally.accepted() > accepted + 200);
        report(&format!("overload: {refused} rejected, {accepted} accepted, memory from {before} kB to {after} kB"));
    });
    let accepted = tally.accepted.into_inner().unwrap();
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data"), accepted);
}

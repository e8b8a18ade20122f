//! More than the disk can take: memory stays bounded, the rest is refused, and then it is over.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Fault, journaled, post_on, recorder, strace, updated_at};
use crate::connection::Connection;
use crate::daemon::{Daemon, OverWhenDropped, command, eventually, notification};
use crate::tools::report;

/// So many post at a time, each as fast as it is answered.
const POSTERS: u64 = 40;
/// The disk takes so many notifications at once, and so many of that in a second.
const QUEUE_SIZE: u64 = 8;
const SYNCS_PER_SECOND: u64 = 2;
/// So many are refused before anything is judged: a slow machine has to manage that within the time for anything.
const REFUSED: u64 = 4000;
/// What the disk refuses grows with the load, what the daemon holds does not: in kibibytes.
const GROWTH: u64 = 32 << 10;

/// A line of the process's status, in kibibytes.
fn status(daemon: &Daemon, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What became of all that was posted.
#[derive(Default)]
struct Tally {
    accepted: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    over: AtomicBool,
}

impl Tally {
    /// Posts on one connection until it is over; distinct events, of inputs that are many.
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
        // Everybody has been served before memory is looked at.
        eventually("the load is on", || tally.refused() > REFUSED / 4);
        let before = status(&daemon, "VmRSS");
        eventually("more is refused than the disk takes in a long time", || tally.refused() > REFUSED);
        // Alive, and told.
        assert_eq!(daemon.get("/-/healthy").status, 200);
        assert_eq!(daemon.get("/-/ready").status, 200);
        let rejected = daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#);
        assert!(rejected >= Some(REFUSED as f64), "{rejected:?}");
        assert!(tally.refused() > 9 * tally.accepted(), "{} of {}", tally.refused(), tally.accepted());
        let after = status(&daemon, "VmHWM");
        assert!(after < before + GROWTH, "from {before} kB to {after} kB");
        // The disk is fast again: they are the same who post, and they are not refused for ever.
        drop(fault);
        let (accepted, refused) = (tally.accepted(), tally.refused());
        eventually("what was refused is taken", || tally.accepted() > accepted + 200);
        report(&format!("overload: {refused} refused, {accepted} accepted, memory from {before} kB to {after} kB"));
    });
    let accepted = tally.accepted.into_inner().unwrap();
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data"), accepted);
}

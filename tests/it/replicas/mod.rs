//! Three replicas that share a journal in PostgreSQL, under load, and every failure that the promise covers.
//!
//! `tests/replicas` runs these tests in namespaces of its own; it needs root. Each test has its own networks, servers and
//! replicas, see [`Site`]. After every failure the same is checked, see [`Run::finish`].

mod check;
mod events;
mod network;
mod planted;
mod replica;
mod scrapes;
mod sender;
mod server;
mod replica_failures;
mod server_failures;
mod away;

use std::thread;
use std::time::Duration;

use check::{Loss, Scrape, assert_none, disagreements, fallen_counters, journal_faults, metric_faults};
use events::Identity;
use network::{Net, Network};
use replica::Replica;
use scrapes::Scraper;
use sender::{Attempt, Sender};
use server::{DATABASE, PORT, Pooler, Server};

use crate::daemon::eventually;
use crate::postgres::programs;
use crate::tools::report;

const REPLICAS: u8 = 3;
/// How long a phase of load lasts where nothing else decides it.
const PHASE: Duration = Duration::from_secs(5);
const EVENTS: &str = "SELECT input_id, kind, updated_at, coalesce(code, '') FROM stream_live_exporter.records \
    WHERE kind IN ('connected', 'disconnected', 'errored') ORDER BY position";

/// The servers of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Servers {
    One,
    SynchronousStandby,
    AsynchronousStandby,
    /// One, and PgBouncer before it.
    Pooler,
}

/// Networks, servers and replicas of one test. The folder is kept if the test fails.
struct Site {
    name: &'static str,
    replicas: Vec<Replica>,
    primary: Server,
    standby: Option<Server>,
    pooler: Option<Pooler>,
    folder: Option<tempfile::TempDir>,
}

impl Site {
    /// Starts servers and replicas; `None` if the test is skipped.
    fn start(name: &'static str, servers: Servers) -> Option<Self> {
        let mut site = Self::prepare(name, servers, "")?;
        for replica in &mut site.replicas {
            replica.start();
            replica.wait_until_ready();
        }
        Some(site)
    }

    /// Starts the servers only. The replicas have further settings in their section `storage`.
    fn prepare(name: &'static str, servers: Servers, storage: &str) -> Option<Self> {
        assert!(network::is_private(), "run these tests with tests/replicas");
        let programs = programs()?;
        let folder = folder(name);
        let path = |name: &str| folder.path().join(name);
        let network = Network::new();
        let host = |number| network.host(number, &[Net::Database]);
        let primary = Server::primary(&programs, &host(21), &path("primary"));
        let with_standby = [Servers::SynchronousStandby, Servers::AsynchronousStandby].contains(&servers);
        let standby =
            with_standby.then(|| primary.standby(&host(22), &path("standby"), servers == Servers::SynchronousStandby));
        let pooler = match servers {
            Servers::Pooler => Some(Pooler::new(&host(23), &path("pooler"), &primary)?),
            Servers::One | Servers::SynchronousStandby | Servers::AsynchronousStandby => None,
        };
        let hosts = match &pooler {
            Some(pooler) => pooler.address(),
            None => [Some(&primary), standby.as_ref()]
                .into_iter()
                .flatten()
                .map(|server| format!("{}:{PORT}", server.host().address(Net::Database)))
                .collect::<Vec<_>>()
                .join(","),
        };
        let url = format!("postgres://{DATABASE}@{hosts}/{DATABASE}?sslmode=disable&target_session_attrs=read-write");
        let replicas = (0..REPLICAS).map(|number| {
            let host = network.host(11 + number, &[Net::Webhook, Net::Database, Net::Scrapes]);
            Replica::new(host, &path(&format!("replica-{number}")), &format!("url = \"{url}\"\n{storage}"))
        });
        let replicas = replicas.collect();
        Some(Self { name, replicas, primary, standby, pooler, folder: Some(folder) })
    }

    /// Begins load and scrapes.
    fn run(&self) -> Run {
        let (webhooks, metrics) = self.replicas.iter().map(Replica::urls).unzip();
        // At the same time, so that both have the same clock.
        Run { scraper: Scraper::start(metrics), sender: Sender::start(webhooks, 19) }
    }

    /// The server that can be written: the standby after its promotion.
    fn journal(&self) -> &Server {
        self.standby.as_ref().filter(|standby| standby.is_primary()).unwrap_or(&self.primary)
    }

    /// The newest position in the journal.
    fn position(&self) -> u64 {
        self.journal().psql("SELECT position FROM stream_live_exporter.head").parse().expect("a position")
    }

    /// Makes the standby the primary.
    fn promote_standby(&self) {
        self.standby.as_ref().expect("it has one").promote();
    }

    /// The events in the journal, in order.
    fn events(&self) -> Vec<Identity> {
        let rows = self.journal().psql(EVENTS);
        let event = |row: &str| {
            let [input_id, kind, updated_at, code] = row.split('|').collect::<Vec<_>>().try_into().expect("a row");
            let code = if kind == "errored" { label_of(code) } else { "" };
            Identity {
                input_id: input_id.to_owned(),
                kind: kind.to_owned(),
                updated_at: updated_at.parse().expect("a time"),
                code: code.to_owned(),
            }
        };
        rows.lines().map(event).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for replica in &self.replicas {
            replica.keep_log();
        }
        if let Some(folder) = self.folder.take().filter(|_| thread::panicking()) {
            report(&format!("replicas: {}: logs and data are in {}", self.name, folder.keep().display()));
        }
    }
}

/// Load and scrapes during a failure.
struct Run {
    sender: Sender,
    scraper: Scraper,
}

/// What happened during a run.
struct Finished {
    attempts: Vec<Attempt>,
    events: Vec<Identity>,
    scrapes: Vec<Scrape>,
    sent: events::Sent,
}

impl Run {
    /// Lets the load go on.
    fn wait(&self, duration: Duration) {
        let until = self.sender.elapsed() + duration;
        while self.sender.elapsed() < until {
            thread::park_timeout(until.saturating_sub(self.sender.elapsed()));
        }
    }

    /// The newest response of each replica to a scrape that begins from now on.
    fn newest(&self) -> Vec<Scrape> {
        let since = self.scraper.elapsed();
        let mut newest = Vec::new();
        eventually("replicas are scraped", || {
            newest = self.scraper.newest(since);
            self.scraper.elapsed() > since + PHASE || newest.len() == usize::from(REPLICAS)
        });
        newest
    }

    /// Waits until every replica has records in its spool.
    fn wait_until_spooled(&self) {
        eventually("every replica has records in its spool", || {
            let newest = self.newest();
            newest.len() == usize::from(REPLICAS) && newest.iter().all(|scrape| scrape.spooled() > Some(0))
        });
    }

    /// Waits until every replica shows everything in the journal and has an empty spool.
    fn wait_until_current(&self) {
        let since = self.scraper.elapsed();
        eventually("every replica is connected to the journal and has an empty spool", || {
            let newest = self.scraper.newest(since);
            newest.len() == usize::from(REPLICAS)
                && newest.iter().all(|scrape| scrape.reaches_journal() && scrape.spooled() == Some(0))
        });
        let took = (self.scraper.elapsed() - since).as_secs_f64();
        report(&format!("replicas: {took:.1} s until all replicas are connected and their spools empty"));
    }

    /// Ends the load and checks: nothing that was answered 2xx is lost, no event is in the journal twice, no counter fell
    /// on any replica, replicas show the same at equal positions, the metrics are those of the journal's events, and no
    /// spool has records.
    fn finish(self, site: &Site) -> Finished {
        self.finish_with(site, Loss::None)
    }

    fn finish_with(self, site: &Site, loss: Loss) -> Finished {
        let (sent, attempts) = self.sender.finish();
        assert!(sent.is_complete(), "every notification is repeated until it is answered 2xx");
        let since = self.scraper.elapsed();
        eventually("all replicas show the same position, and have empty spools", || {
            let newest = self.scraper.newest(since);
            newest.len() == usize::from(REPLICAS)
                && newest.iter().all(|scrape| scrape.is_current() && scrape.applied() == newest[0].applied())
        });
        let last = self.scraper.newest(since);
        let (scrapes, events) = (self.scraper.finish(), site.events());
        let (unequal, pairs) = disagreements(&scrapes, loss);
        let median = median_of(scrapes.iter().map(|scrape| scrape.until - scrape.from));
        let response = median_of(attempts.iter().map(|attempt| attempt.took));
        let answers = attempts.iter().filter(|attempt| attempt.status.is_none_or(|status| status != 200)).count();
        report(&format!(
            "replicas: {}: {} events, {} attempts of {response:?} each, {answers} of them failed, {} scrapes of {median:?} each, {pairs} pairs at \
             equal positions",
            site.name,
            events.len(),
            attempts.len(),
            scrapes.len(),
        ));
        assert_none("journal", &journal_faults(&events, &sent, loss));
        assert_none("positions", &site.journal().position_faults());
        assert_none("equal positions", &unequal);
        assert_none("counters", &fallen_counters(&scrapes, loss));
        let (_, last_pairs) = disagreements(&last, loss);
        assert_eq!(last_pairs, 3, "all replicas are compared at the end");
        for scrape in &last {
            assert_none("metrics", &metric_faults(scrape, &events));
        }
        Finished { attempts, events, scrapes, sent }
    }
}

impl Finished {
    /// Every attempt that began and ended in this time has one of these results.
    fn assert_answered(&self, from: Duration, until: Duration, results: &[Option<u16>]) {
        let within = |attempt: &&Attempt| attempt.at >= from && attempt.at.saturating_add(attempt.took) <= until;
        let others = self.attempts.iter().filter(within).filter(|attempt| !results.contains(&attempt.status));
        assert_none("responses", &others.map(|attempt| format!("{attempt:?}")).collect::<Vec<_>>());
    }
}

/// The median.
fn median_of(durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<_> = durations.collect();
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// A folder that PostgreSQL's user can reach.
fn folder(name: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix(&format!("replicas-{name}-")).tempdir().expect("it can be created");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    folder
}

/// The label under which a code in the journal is counted.
fn label_of(code: &str) -> &str {
    let known = stream_live_exporter::simulate::ERRORS.iter().map(|error| error.label);
    known.into_iter().find(|label| *label == code).unwrap_or("other")
}

/// A number of rounds: this one, or another one in a long run (`tests/replicas --long`).
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("REPLICAS_LONG").is_some() { long } else { short }
}

//! Replicas that share a list of records, as they share a journal: each reads the tail, judges its own records against
//! it, and appends what is new.

mod overlay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::batches::assert_same;
use super::observations::observation;
use super::properties::{counters, order_free};
use super::*;

const REPLICAS: usize = 3;

/// A batch with its id.
type Batch = (u64, Vec<RecordKind>);

/// How an attempt to append a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Committed,
    /// Nothing was appended. The batch goes into the spool.
    NotCommitted,
    /// It was appended, but the replica does not know. The batch goes into the spool.
    AnswerLost,
    /// The replica is killed before the commit; or after it, before it can answer.
    KilledBefore,
    KilledAfter,
}

#[derive(Debug, Clone)]
enum Step {
    Events {
        replica: usize,
        events: Vec<Posted>,
        end: End,
    },
    Observe {
        replica: usize,
        input: u8,
        found: Observed,
        ago: u64,
    },
    ChangeRules {
        replica: usize,
        reconnect_window: u64,
    },
    Drain {
        replica: usize,
        end: End,
    },
    /// The sender repeats what was not answered.
    Retry {
        replica: usize,
    },
    Follow {
        replica: usize,
    },
    Scrape {
        replica: usize,
    },
    Kill {
        replica: usize,
    },
}

#[derive(Debug, Clone)]
struct Posted {
    input: u8,
    name: &'static str,
    updated_at: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let replica = || 0..REPLICAS;
    let end = || {
        prop_oneof![
            4 => Just(End::Committed),
            1 => Just(End::NotCommitted),
            1 => Just(End::AnswerLost),
            1 => Just(End::KilledBefore),
            1 => Just(End::KilledAfter),
        ]
    };
    let names = prop::sample::select(vec!["connected", "disconnected", "ERR_UNHEALTHY"]);
    let posted =
        (1u8..3, names, 0u64..60).prop_map(|(input, name, step)| Posted { input, name, updated_at: step * 10 });
    let events = (replica(), prop::collection::vec(posted, 1..5), end());
    let found = prop::sample::select(vec![Observed::Connected, Observed::Disconnected]);
    let observe = (replica(), 1u8..3, found, 0u64..60);
    let windows = prop::sample::select(vec![0u64, 60, 600]);
    let step = prop_oneof![
        12 => events.prop_map(|(replica, events, end)| Step::Events { replica, events, end }),
        2 => observe.prop_map(|(replica, input, found, ago)| Step::Observe { replica, input, found, ago }),
        1 => (replica(), windows).prop_map(|(replica, reconnect_window)| Step::ChangeRules { replica, reconnect_window }),
        4 => (replica(), end()).prop_map(|(replica, end)| Step::Drain { replica, end }),
        2 => replica().prop_map(|replica| Step::Retry { replica }),
        2 => replica().prop_map(|replica| Step::Follow { replica }),
        6 => replica().prop_map(|replica| Step::Scrape { replica }),
        1 => replica().prop_map(|replica| Step::Kill { replica }),
    ];
    prop::collection::vec(step, 1..80)
}

/// What the replicas share.
#[derive(Default)]
struct Shared {
    records: Vec<Record>,
    batches: BTreeSet<u64>,
    /// Time of the latest scrape.
    time: Timestamp,
    recorded_until: Timestamp,
}

struct Replica {
    fold: Fold,
    /// Position of the newest record that the fold has.
    position: usize,
    /// Survives a restart.
    spool: VecDeque<Batch>,
}

struct Cluster {
    shared: Shared,
    replicas: Vec<Replica>,
    next_batch: u64,
    now: Timestamp,
    answered: Vec<RecordKind>,
    unanswered: Vec<RecordKind>,
    /// The fold after each position that a replica had.
    folds: BTreeMap<usize, Fold>,
    /// The counters of the latest scrape, of any replica.
    shown: Vec<u64>,
}

impl Replica {
    fn follow(&mut self, shared: &Shared) {
        for batch in shared.records[self.position..].chunks(3) {
            let (changes, _) = apply(&self.fold, batch);
            self.fold.adopt(changes);
        }
        self.position = shared.records.len();
    }

    /// Appends a batch, as the holder of the lock. Returns whether it is known to be appended.
    fn append(&mut self, shared: &mut Shared, (id, kinds): &Batch, now: Timestamp, end: End) -> bool {
        self.follow(shared);
        if shared.batches.contains(id) {
            return true;
        }
        let (recorded_at, shown_until) = (now.max(shared.recorded_until).max(shared.time), shared.time);
        let records = kinds.iter().map(|kind| Record { recorded_at, ..record(kind.clone(), shown_until) });
        let mut records: Vec<_> = records.collect();
        let (changes, verdicts) = apply(&self.fold, &records);
        if matches!(end, End::NotCommitted | End::KilledBefore) {
            return false;
        }
        let appended = records.iter_mut().zip(verdicts).filter_map(|(record, verdict)| {
            let Verdict::Recorded(note) = verdict else { return None };
            if let RecordKind::Event(_, noted) = &mut record.kind {
                *noted = note;
            }
            Some(record.clone())
        });
        for record in appended {
            let position = shared.records.len() as u64 + 1;
            shared.records.push(Record { position, ..record });
            shared.recorded_until = recorded_at;
            shared.batches.insert(*id);
        }
        if end == End::Committed {
            self.fold.adopt(changes);
            self.position = shared.records.len();
        }
        end == End::Committed
    }
}

impl Cluster {
    fn new() -> Self {
        let replica = || Replica { fold: Fold::new(rules()), position: 0, spool: VecDeque::new() };
        let replicas = (0..REPLICAS).map(|_| replica()).collect();
        let shared = Shared { time: at(0), recorded_until: at(0), ..Shared::default() };
        let (answered, unanswered) = (Vec::new(), Vec::new());
        let shown = counters(&Fold::new(rules()), at(0));
        Self { shared, replicas, next_batch: 0, now: at(600), answered, unanswered, folds: BTreeMap::new(), shown }
    }

    fn step(&mut self, step: &Step) {
        self.now = self.now.plus(Duration::from_secs(7));
        match step {
            Step::Events { replica, events, end } => {
                // The clocks of the replicas differ by a minute.
                let received_at = self.now.plus(Duration::from_secs(60 * *replica as u64));
                let kind = |posted: &Posted| event(posted.input, posted.name, at(posted.updated_at), received_at);
                let kinds = events.iter().map(|posted| RecordKind::Event(kind(posted), None));
                self.post(*replica, kinds.collect(), *end);
            }
            Step::Observe { replica, input, found, ago } => {
                let at = self.now.minus(Duration::from_secs(*ago));
                let kind = observation(&self.replicas[*replica].fold, *input, *found, at);
                self.record(*replica, kind);
            }
            Step::ChangeRules { replica, reconnect_window } => {
                let rules = Rules { reconnect_window: Duration::from_secs(*reconnect_window), ..rules() };
                self.record(*replica, RecordKind::Rules(Arc::new(rules)));
            }
            Step::Drain { replica, end } => self.drain(*replica, *end),
            Step::Retry { replica } => {
                let kinds = std::mem::take(&mut self.unanswered);
                self.post(*replica, kinds, End::Committed);
            }
            Step::Follow { replica } => self.replicas[*replica].follow(&self.shared),
            Step::Scrape { replica } => self.scrape(*replica),
            Step::Kill { replica } => self.restart(*replica),
        }
        for replica in &self.replicas {
            let fold = self.folds.entry(replica.position).or_insert_with(|| replica.fold.clone());
            assert_same(fold, &replica.fold);
        }
    }

    fn batch(&mut self, kinds: Vec<RecordKind>) -> Batch {
        self.next_batch += 1;
        (self.next_batch, kinds)
    }

    /// A delivery. Behind a spool that is not empty, it waits there.
    fn post(&mut self, replica: usize, kinds: Vec<RecordKind>, end: End) {
        let batch = self.batch(kinds.clone());
        let this = &mut self.replicas[replica];
        let is_appended = this.spool.is_empty() && this.append(&mut self.shared, &batch, self.now, end);
        if this.spool.is_empty() && matches!(end, End::KilledBefore | End::KilledAfter) {
            self.unanswered.extend(kinds);
            self.restart(replica);
            return;
        }
        if !is_appended {
            this.spool.push_back(batch);
        }
        self.answered.extend(kinds);
    }

    /// What does not come from a delivery does not wait.
    fn record(&mut self, replica: usize, kind: RecordKind) {
        let batch = self.batch(vec![kind]);
        let this = &mut self.replicas[replica];
        if this.spool.is_empty() {
            this.append(&mut self.shared, &batch, self.now, End::Committed);
        }
    }

    fn drain(&mut self, replica: usize, end: End) {
        let this = &mut self.replicas[replica];
        let Some(batch) = this.spool.front().cloned() else { return };
        if this.append(&mut self.shared, &batch, self.now, end) {
            this.spool.pop_front();
        } else if matches!(end, End::KilledBefore | End::KilledAfter) {
            self.restart(replica);
        }
    }

    /// A start without a local state.
    fn restart(&mut self, replica: usize) {
        let this = &mut self.replicas[replica];
        (this.fold, this.position) = (Fold::new(rules()), 0);
        this.follow(&self.shared);
    }

    fn scrape(&mut self, replica: usize) {
        self.shared.time = self.shared.time.plus(Duration::from_micros(1)).max(self.now);
        let this = &mut self.replicas[replica];
        this.follow(&self.shared);
        let shown = counters(&this.fold, self.shared.time);
        let falls = self.shown.iter().zip(&shown).any(|(before, now)| now < before);
        assert!(!falls, "{:?} then {shown:?}", self.shown);
        self.shown = shown;
    }

    fn finish(&mut self) {
        for replica in 0..REPLICAS {
            self.step(&Step::Retry { replica });
            while !self.replicas[replica].spool.is_empty() {
                self.step(&Step::Drain { replica, end: End::Committed });
            }
        }
        (0..REPLICAS).for_each(|replica| self.step(&Step::Scrape { replica }));
    }
}

fn events(kinds: &[RecordKind]) -> impl Iterator<Item = &Event> {
    kinds.iter().filter_map(|kind| if let RecordKind::Event(event, _) = kind { Some(event) } else { None })
}

fn key(event: &Event) -> String {
    format!("{} {:?} {}", event.input_id, event.kind, event.updated_at)
}

proptest! {
    #[test]
    fn three_writers_in_any_order_have_the_state_of_the_list_and_record_each_event_once(steps in steps()) {
        let mut cluster = Cluster::new();
        steps.iter().for_each(|step| cluster.step(step));
        cluster.finish();

        let records = &cluster.shared.records;
        let mut whole = Fold::new(rules());
        let (changes, _) = apply(&whole, records);
        whole.adopt(changes);
        for replica in &cluster.replicas {
            prop_assert_eq!(replica.position, records.len());
            assert_same(&replica.fold, &whole);
        }

        let mut recorded: Vec<_> = records.iter().filter_map(Record::event).map(key).collect();
        recorded.sort();
        let mut answered: Vec<_> = events(&cluster.answered).map(key).collect();
        answered.sort();
        answered.dedup();
        prop_assert_eq!(recorded, answered);
        prop_assert!(cluster.unanswered.is_empty());
    }

    #[test]
    fn three_writers_in_any_order_have_the_state_of_the_events_in_the_order_of_their_times(steps in steps()) {
        let of_events = |step: &Step| !matches!(step, Step::Observe { .. } | Step::ChangeRules { .. });
        let mut cluster = Cluster::new();
        steps.iter().filter(|step| of_events(step)).for_each(|step| cluster.step(step));
        cluster.finish();

        let mut sorted: Vec<_> = events(&cluster.answered).collect();
        sorted.sort_by_key(|event| event.updated_at);
        let mut world = World::new();
        for event in sorted {
            world.apply(event);
        }
        prop_assert_eq!(order_free(&cluster.replicas[0].fold), order_free(&world.fold));
    }
}

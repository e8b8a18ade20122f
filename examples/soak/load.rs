//! The sender: every notification is repeated until it is accepted.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use fastrand::Rng;
use stream_live_exporter::clock::now;
use stream_live_exporter::event::{InputId, Timestamp};
use stream_live_exporter::simulate::{ERRORS, Fact, FactKind, InputTruth, Meaning, Notification, POLICIES};

use super::Run;
use super::daemon::{SECRET, agent};

const SENDERS: u32 = 8;
const INPUTS_PER_SENDER: u32 = 25;

/// What was sent about one input.
#[derive(Default)]
pub struct Sent {
    pub truth: InputTruth,
    pub sessions: u64,
    pub reconnects: u64,
    newest: Option<Timestamp>,
}

/// Sends until the run is over. Returns what was sent, all of which was accepted.
pub fn send(run: &Run, rate: u32, seed: u64) -> anyhow::Result<BTreeMap<InputId, Sent>> {
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || sender_of(run, f64::from(rate) / f64::from(SENDERS), seed, sender)))
            .collect();
        let mut all = BTreeMap::new();
        for sender in senders {
            all.extend(sender.join().map_err(|_| anyhow!("a sender panicked"))??);
        }
        Ok(all)
    })
}

fn sender_of(run: &Run, rate: f64, seed: u64, sender: u32) -> anyhow::Result<BTreeMap<InputId, Sent>> {
    let mut rng = Rng::with_seed(seed + u64::from(sender));
    let (agent, url) = (agent(), format!("http://{}/webhook", run.site.public));
    let mut inputs: Vec<(InputId, Sent)> = (0..INPUTS_PER_SENDER)
        .map(|input| (InputId::from_bytes(u128::from(sender * 1000 + input + 1).to_be_bytes()), Sent::default()))
        .collect();
    for number in 0_u32.. {
        run.wait_until(Duration::from_secs_f64(f64::from(number) / rate));
        if run.is_over() {
            break;
        }
        let (input_id, sent) = &mut inputs[rng.usize(..INPUTS_PER_SENDER as usize)];
        let fact = sent.next(*input_id, &mut rng);
        let policy = &POLICIES[rng.usize(..POLICIES.len())];
        // Some arrive twice, in two envelopes.
        for _ in 0..1 + usize::from(rng.u8(..) < 13) {
            let notification = Notification { fact, policy, correlation_id: rng.u128(..), sent_at: now() };
            let body = notification.body();
            while !run.failed.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = agent.post(&url).header("cf-webhook-auth", SECRET).send(&body[..]);
                match answer.map(|answer| answer.status().as_u16()) {
                    Ok(200) => break,
                    Ok(503) | Err(_) => thread::park_timeout(Duration::from_millis(100)),
                    Ok(status) => return Err(anyhow!("answered {status}")),
                }
            }
        }
        run.progress.inc(1);
    }
    Ok(inputs.into_iter().collect())
}

impl Sent {
    /// The next event of the input, a little after the one before.
    fn next(&mut self, input_id: InputId, rng: &mut Rng) -> Fact {
        let after = self.newest.map(|newest| newest.plus(Duration::from_millis(1)));
        let updated_at = now().max(after.unwrap_or_default());
        self.newest = Some(updated_at);
        let kind = match self.truth.connected {
            _ if rng.u8(..) < 50 => FactKind::Errored(&ERRORS[rng.usize(..ERRORS.len())]),
            Some(true) => FactKind::Disconnected,
            Some(false) | None => FactKind::Connected,
        };
        let fact = Fact { input_id, kind, updated_at };
        match self.truth.learn(&fact) {
            Meaning::SessionStart => self.sessions += 1,
            Meaning::Reconnect => self.reconnects += 1,
            Meaning::Disconnect | Meaning::Repeat | Meaning::OutOfOrder | Meaning::Error => {}
        }
        fact
    }
}

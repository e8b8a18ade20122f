//! The script: six hours of a site with ten live inputs and two replicas of the exporter.
//!
//! A replica handles no delivery between the last multiple of five minutes before it stops and the stop: bars cannot
//! show the counters of a process that no scrape met at the end of the bar.
//!
//! There are no actions around the beginning, three hours, five hours and the end, so that the truth of a range
//! that begins or ends there does not depend on the time of the nearest scrape.

use std::time::Duration;

use stream_live_exporter::event::{IgnoredReason, Timestamp};
use stream_live_exporter::recorder::Outcome;
use stream_live_exporter::simulate::{ERRORS, FactKind};

use super::actions::{ActionKind, REPLICAS, Timeline, Transit};
use super::inputs::{Configuration, Input};

use FactKind::{Connected, Disconnected, Errored};
use Input::{Auditorium, BackupFeed, Chapel, LobbyCamera, MainStage, PodcastRoom, StudioB, TrainingRoom, Unconfigured};

const SAVE_AND_TEST: &str = include_str!("../../../tests/fixtures/notifications/save-and-test-correctly.json");
const OTHER_PRODUCT: &str = include_str!("../../../tests/fixtures/notifications/other-alert-type.json");

/// The timeline with this beginning.
pub fn build(begin: Timestamp) -> Timeline {
    let mut timeline = Timeline::new(begin);
    starts_and_reloads(&mut timeline);
    before(&mut timeline);
    morning(&mut timeline);
    late_notifications(&mut timeline);
    outage(&mut timeline);
    unstable_uplink(&mut timeline);
    rejected_requests(&mut timeline);
    unconfigured_input(&mut timeline);
    full_disk(&mut timeline);
    misconfigured_encoder(&mut timeline, "3:21:00", 4, 90);
    blocked_account(&mut timeline);
    wrong_codecs(&mut timeline);
    lost_notifications(&mut timeline);
    timeline.rotate_secret();
    last_hour(&mut timeline);
    misconfigured_encoder(&mut timeline, "5:46:00", 14, 45);
    timeline.finish()
}

/// The alerts that fire at the end: name, severity and input.
pub const FIRING_AT_END: [(&str, &str, Input); 6] = [
    ("StreamLiveInputOffAirWhileExpected", "critical", Auditorium),
    ("StreamLiveInputOnAirBudgetBurningSlowly", "warning", Auditorium),
    ("StreamLiveInputOnAirBudgetBurningSlowly", "warning", LobbyCamera),
    ("StreamLiveInputEncoderMisconfigured", "warning", PodcastRoom),
    ("StreamLiveKeyframeInterval", "warning", PodcastRoom),
    ("StreamLiveInputStateUnknownWhileExpected", "warning", TrainingRoom),
];

/// The configurations, each with the time from which it is in force.
pub fn configurations(timeline: &Timeline) -> [(Timestamp, Configuration); 4] {
    [
        (Timestamp::EPOCH, Configuration::default()),
        (timeline.time("1:00:05"), Configuration { service: true, training: false }),
        (timeline.time("3:30:05"), Configuration { service: false, training: false }),
        (timeline.time("5:20:05"), Configuration { service: false, training: true }),
    ]
}

fn starts_and_reloads(timeline: &mut Timeline) {
    for replica in 0..REPLICAS {
        timeline.add(timeline.time("-40:00:00"), replica, ActionKind::Start(Configuration::default()));
        for (at, configuration) in configurations(timeline).into_iter().skip(1) {
            timeline.add(at, replica, ActionKind::Reload(configuration));
        }
    }
    // An invalid file on one replica.
    timeline.add(timeline.time("3:50:20"), 0, ActionKind::FailReload);
    timeline.add(timeline.time("3:58:10"), 0, ActionKind::Reload(Configuration::default()));
    // The second replica does not run for 17 minutes in which no notification arrives.
    timeline.downtime(1, "3:41:05", "3:58:05");
    // An update: nine scrapes fail.
    timeline.downtime(0, "4:40:05", "4:40:50");
}

/// No replica runs for ten minutes. The notification history brings back what happened meanwhile.
fn outage(timeline: &mut Timeline) {
    timeline.downtime(0, "0:36:35", "0:46:35");
    timeline.downtime(1, "0:36:35", "0:46:40");
    timeline.event(Auditorium, "0:39:00", Disconnected);
    timeline.event(Auditorium, "0:39:40", FactKind::error("ERR_UNHEALTHY"));
    timeline.event(StudioB, "0:41:00", Disconnected);
    timeline.event(StudioB, "0:41:20", Connected);
    timeline.event(Auditorium, "0:43:20", Connected);
}

fn before(timeline: &mut Timeline) {
    timeline.event(Chapel, "-30:00:00", Connected);
    timeline.event(Chapel, "-28:10:00", Disconnected);
    timeline.event(LobbyCamera, "-26:00:00", Connected);
    timeline.event(MainStage, "-20:00:00", Connected);
    timeline.event(StudioB, "-3:10:00", Connected);
    timeline.event(Auditorium, "-2:00:00", Connected);
}

fn morning(timeline: &mut Timeline) {
    // Some notifications do not reach the second replica.
    timeline.event_to_first_replica(PodcastRoom, "0:05:10", Connected);
    timeline.event_to_first_replica(PodcastRoom, "0:47:30", Disconnected);
    // The notification of a disconnect is lost, then that of a connect.
    timeline.event(BackupFeed, "0:12:00", Connected);
    timeline.event_to_first_replica(BackupFeed, "0:50:20", Connected);
    timeline.event(BackupFeed, "1:24:00", Disconnected);
    timeline.event(BackupFeed, "2:31:40", Disconnected);
    timeline.event(Chapel, "0:58:20", Connected);
    timeline.event(Chapel, "3:32:10", Disconnected);
    timeline.event(MainStage, "1:10:00", Disconnected);
    timeline.event(MainStage, "1:14:30", Connected);
    let twice = Transit { twice: true, ..timeline.usual() };
    timeline.event_by(twice, MainStage, timeline.time("1:41:00"), Disconnected);
    timeline.event(MainStage, "1:41:18", Connected);
}

/// Cloudflare delays notifications for some minutes.
fn late_notifications(timeline: &mut Timeline) {
    for number in 0..8_u32 {
        let transit =
            Transit { source_delay: 45.0 + 6.0 * f64::from(number), lost_to_second: number == 2, ..timeline.usual() };
        let at = timeline.time("0:22:00").plus(Duration::from_secs(80) * number);
        timeline.event_by(transit, LobbyCamera, at, FactKind::error("ERR_UNHEALTHY"));
    }
}

/// Twelve gaps of some seconds. The notifications of one gap do not reach the second replica, those of another arrive in
/// reverse order. One notification of a third is later than the reorder window.
fn unstable_uplink(timeline: &mut Timeline) {
    for number in 0..12_u32 {
        let dropped = timeline.time("2:00:00").plus(Duration::from_secs(65) * number);
        let back = dropped.plus(Duration::from_secs(6 + u64::from(number * 5 % 14)));
        let mut transit = timeline.usual();
        transit.lost_to_second = number == 0;
        transit.twice = number % 5 == 2;
        let source_delay = match number {
            2 => 600.0,
            7 => 31.0,
            _ => transit.source_delay,
        };
        timeline.event_by(Transit { source_delay, ..transit }, StudioB, dropped, Disconnected);
        timeline.event_by(transit, StudioB, back, Connected);
    }
    timeline.event(StudioB, "5:12:00", Disconnected);
    timeline.event(StudioB, "5:12:25", Connected);
}

fn rejected_requests(timeline: &mut Timeline) {
    for number in 0..24_u32 {
        let replica = usize::from(number % 4 == 3);
        timeline.add(
            timeline.time("2:20:00").plus(Duration::from_secs(23) * number),
            replica,
            ActionKind::Reject("secret"),
        );
    }
    for (offset, replica, reason) in [
        ("2:21:10", 0, "method"),
        ("2:22:40", 0, "method"),
        ("2:24:00", 0, "not_json"),
        ("2:25:30", 1, "too_large"),
        ("2:26:10", 0, "timeout"),
        ("2:27:00", 1, "encoding"),
    ] {
        timeline.add(timeline.time(offset), replica, ActionKind::Reject(reason));
    }
    // A scanner keeps connections open, and a client opens too many.
    for (offset, replica, reason) in
        [("2:20:30", 0, "evicted"), ("2:21:00", 0, "evicted"), ("2:22:00", 1, "evicted"), ("2:23:30", 0, "peer")]
    {
        timeline.add(timeline.time(offset), replica, ActionKind::RefuseConnection(reason));
    }
    timeline.deliver("1:20:10", OTHER_PRODUCT, Outcome::Ignored(IgnoredReason::AlertType));
}

fn unconfigured_input(timeline: &mut Timeline) {
    timeline.event(Unconfigured, "2:40:15", Connected);
    timeline.event(Unconfigured, "2:44:00", FactKind::error("ERR_SIMULATED"));
    timeline.event(Unconfigured, "2:46:30", FactKind::error("ERR_SIMULATED"));
    timeline.event(Unconfigured, "2:49:00", Errored(&ERRORS[7]));
    timeline.event(Unconfigured, "3:05:00", Disconnected);
    timeline.event(Unconfigured, "3:20:00", Connected);
}

/// The second replica cannot write a notification; Cloudflare sends it again.
fn full_disk(timeline: &mut Timeline) {
    let refused = Transit { fails_at_second: true, ..timeline.usual() };
    timeline.event_by(refused, PodcastRoom, timeline.time("3:10:30"), Connected);
    timeline.event(PodcastRoom, "3:40:00", Disconnected);
}

/// The keyframe interval is wrong; Cloudflare repeats the error.
fn misconfigured_encoder(timeline: &mut Timeline, offset: &str, errors: u32, seconds: u64) {
    for number in 0..errors {
        let at = timeline.time(offset).plus(Duration::from_secs(seconds) * number);
        let transit = timeline.usual();
        timeline.event_by(transit, PodcastRoom, at, FactKind::error("ERR_GOP_OUT_OF_RANGE"));
    }
}

/// The account is out of storage, and two inputs are rejected for some minutes.
fn blocked_account(timeline: &mut Timeline) {
    for (input, ends, refused, begins) in
        [(LobbyCamera, "4:08:00", "4:10:10", "4:24:00"), (Auditorium, "4:09:00", "4:10:40", "4:25:30")]
    {
        timeline.event(input, ends, Disconnected);
        for number in 0..6_u32 {
            let at = timeline.time(refused).plus(Duration::from_secs(125) * number);
            let transit = timeline.usual();
            timeline.event_by(transit, input, at, FactKind::error("ERR_STORAGE_QUOTA_EXHAUSTED"));
        }
        timeline.event(input, begins, Connected);
    }
}

fn wrong_codecs(timeline: &mut Timeline) {
    timeline.event(BackupFeed, "4:45:00", Connected);
    let malformed = Transit { malformed: true, ..timeline.usual() };
    timeline.event_by(malformed, BackupFeed, timeline.time("4:50:00"), FactKind::error("ERR_UNSUPPORTED_VIDEO_CODEC"));
    timeline.event(BackupFeed, "4:51:00", FactKind::error("ERR_UNSUPPORTED_VIDEO_CODEC"));
    timeline.event(BackupFeed, "4:52:00", FactKind::error("ERR_UNSUPPORTED_AUDIO_CODEC"));
}

/// Neither replica receives a disconnect and the next connect. Cloudflare's API reveals both. A disconnect of another
/// input is lost, too, and an operator corrects the state.
fn lost_notifications(timeline: &mut Timeline) {
    timeline.lost_event(Unconfigured, "4:29:00", Disconnected);
    timeline.lost_event(Unconfigured, "4:54:00", Connected);
    timeline.event(Unconfigured, "5:14:00", Disconnected);
    timeline.event(Unconfigured, "5:17:30", Connected);
    // An operator sees that the encoder is off.
    timeline.event(PodcastRoom, "4:30:20", Connected);
    timeline.corrected_event(PodcastRoom, "4:33:10", Disconnected);
}

/// After the rotation of the secret. Determines the state at the end.
fn last_hour(timeline: &mut Timeline) {
    timeline.deliver("5:05:30", SAVE_AND_TEST, Outcome::Test);
    timeline.event(BackupFeed, "5:10:00", Disconnected);
    // The exporter's clock is slow.
    let early = Transit { delivery_delay: -0.6, ..timeline.usual() };
    timeline.event_by(early, MainStage, timeline.time("5:25:00"), Disconnected);
    timeline.event(MainStage, "5:25:20", Connected);
    timeline.event(Auditorium, "5:30:00", FactKind::error("ERR_UNHEALTHY"));
    timeline.event(PodcastRoom, "5:35:00", Connected);
    timeline.event(Auditorium, "5:47:20", Disconnected);
}

//! The timeline: six hours of a site with ten live inputs and two replicas of the exporter.
//!
//! Nothing happens in the minutes around the beginning, three hours, five hours, and the end, so that
//! a range that begins or ends there has one truth, whatever lies between two scrapes.

use std::time::Duration;

use stream_live_exporter::event::{IgnoredReason, Timestamp};

use super::actions::{ActionKind, Meaning, REPLICAS, Timeline, Transit};
use super::inputs::{Configuration, Input};
use super::notification;

use Input::{Auditorium, BackupFeed, Chapel, LobbyCamera, MainStage, PodcastRoom, StudioB, TrainingRoom, Unconfigured};
use Meaning::{Begins, Ends, Errs, IsLate, RepeatsConnected, RepeatsDisconnected, Resumes};

/// Tells the timeline that begins then.
pub fn build(begin: Timestamp) -> Timeline {
    let mut timeline = Timeline::new(begin);
    starts_and_reloads(&mut timeline);
    before(&mut timeline);
    morning(&mut timeline);
    late_notifications(&mut timeline);
    unsteady_uplink(&mut timeline);
    rejected_requests(&mut timeline);
    unconfigured_input(&mut timeline);
    full_disk(&mut timeline);
    misconfigured_encoder(&mut timeline, "3:21:00", 4, 90);
    blocked_account(&mut timeline);
    wrong_codecs(&mut timeline);
    timeline.rotate_secret();
    last_hour(&mut timeline);
    misconfigured_encoder(&mut timeline, "5:46:00", 14, 45);
    timeline.finish()
}

/// The alerts that fire at the end, each with its severity and whom it concerns.
pub const FIRING_AT_END: [(&str, &str, Input); 5] = [
    ("StreamLiveInputOffAirWhileExpected", "critical", Auditorium),
    ("StreamLiveInputOnAirBudgetBurningSlowly", "warning", Auditorium),
    ("StreamLiveInputOnAirBudgetBurningSlowly", "warning", LobbyCamera),
    ("StreamLiveInputEncoderMisconfigured", "warning", PodcastRoom),
    ("StreamLiveInputStateUnknownWhileExpected", "warning", TrainingRoom),
];

/// The configuration at a moment: when it changed, and to what.
pub fn configurations(timeline: &Timeline) -> [(Timestamp, Configuration); 4] {
    [
        (Timestamp::EPOCH, Configuration::default()),
        (timeline.moment("1:00:05"), Configuration { service: true, training: false }),
        (timeline.moment("3:30:05"), Configuration { service: false, training: false }),
        (timeline.moment("5:20:05"), Configuration { service: false, training: true }),
    ]
}

fn starts_and_reloads(timeline: &mut Timeline) {
    for replica in 0..REPLICAS {
        timeline.add(timeline.moment("-40:00:00"), replica, ActionKind::Start(Configuration::default()));
        for (at, configuration) in configurations(timeline).into_iter().skip(1) {
            timeline.add(at, replica, ActionKind::Reload(configuration));
        }
    }
    // Somebody edits the file of one replica by hand.
    timeline.add(timeline.moment("3:50:20"), 0, ActionKind::FailReload);
    timeline.add(timeline.moment("3:58:10"), 0, ActionKind::Reload(Configuration::default()));
    // An update: three scrapes find nobody.
    timeline.add(timeline.moment("4:40:05"), 0, ActionKind::Stop);
    timeline.add(timeline.moment("4:40:50"), 0, ActionKind::Start(Configuration::default()));
}

fn before(timeline: &mut Timeline) {
    timeline.event(Chapel, "-30:00:00", Begins);
    timeline.event(Chapel, "-28:10:00", Ends);
    timeline.event(LobbyCamera, "-26:00:00", Begins);
    timeline.event(MainStage, "-20:00:00", Begins);
    timeline.event(StudioB, "-3:10:00", Begins);
    timeline.event(Auditorium, "-2:00:00", Begins);
}

fn morning(timeline: &mut Timeline) {
    // The second replica is not told of all of it.
    timeline.event_to_first_replica(PodcastRoom, "0:05:10", Begins);
    timeline.event_to_first_replica(PodcastRoom, "0:47:30", Ends);
    // The notification of its end is lost, then that of its beginning.
    timeline.event(BackupFeed, "0:12:00", Begins);
    timeline.event_to_first_replica(BackupFeed, "0:50:20", RepeatsConnected);
    timeline.event(BackupFeed, "1:24:00", Ends);
    timeline.event(BackupFeed, "2:31:40", RepeatsDisconnected);
    timeline.event(Chapel, "0:58:20", Begins);
    timeline.event(Chapel, "3:32:10", Ends);
    timeline.event(MainStage, "1:10:00", Ends);
    timeline.event(MainStage, "1:14:30", Begins);
    let twice = Transit { twice: true, ..timeline.usual() };
    timeline.event_by(twice, MainStage, timeline.moment("1:41:00"), Ends);
    timeline.event(MainStage, "1:41:18", Resumes);
}

/// For some minutes Cloudflare takes its time, while an encoder is struggling.
fn late_notifications(timeline: &mut Timeline) {
    for number in 0..8_u32 {
        let transit =
            Transit { source_delay: 45.0 + 6.0 * f64::from(number), lost_to_second: number == 2, ..timeline.usual() };
        let at = timeline.moment("0:22:00").plus(Duration::from_secs(80) * number);
        timeline.event_by(transit, LobbyCamera, at, Errs("ERR_UNHEALTHY"));
    }
}

/// Twelve gaps of some seconds each. One of them is told in the wrong order, another only to one.
fn unsteady_uplink(timeline: &mut Timeline) {
    for number in 0..12_u32 {
        let dropped = timeline.moment("2:00:00").plus(Duration::from_secs(65) * number);
        let back = dropped.plus(Duration::from_secs(6 + u64::from(number * 5 % 14)));
        let mut transit = timeline.usual();
        transit.lost_to_second = number == 0;
        transit.twice = number % 5 == 2;
        if number == 7 {
            let late = Transit { source_delay: 31.0, lost_to_second: true, ..transit };
            timeline.event_by(late, StudioB, dropped, IsLate);
            timeline.event_by(transit, StudioB, back, RepeatsConnected);
        } else {
            timeline.event_by(transit, StudioB, dropped, Ends);
            timeline.event_by(transit, StudioB, back, Resumes);
        }
    }
    timeline.event(StudioB, "5:12:00", Ends);
    timeline.event(StudioB, "5:12:25", Resumes);
}

fn rejected_requests(timeline: &mut Timeline) {
    for number in 0..24_u32 {
        let replica = usize::from(number % 4 == 3);
        timeline.add(
            timeline.moment("2:20:00").plus(Duration::from_secs(23) * number),
            replica,
            ActionKind::Reject("secret"),
        );
    }
    for (clock, replica, reason) in [
        ("2:21:10", 0, "method"),
        ("2:22:40", 0, "method"),
        ("2:24:00", 0, "not_json"),
        ("2:25:30", 1, "too_large"),
        ("2:26:10", 0, "timeout"),
        ("2:27:00", 1, "encoding"),
    ] {
        timeline.refuse(clock, replica, reason);
    }
    timeline.post("1:20:10", notification::other_product(timeline.moment("1:20:09")), Some(IgnoredReason::AlertType));
}

fn unconfigured_input(timeline: &mut Timeline) {
    timeline.event(Unconfigured, "2:40:15", Begins);
    timeline.event(Unconfigured, "2:44:00", Errs("ERR_BITRATE_TOO_HIGH"));
    timeline.event(Unconfigured, "2:46:30", Errs("ERR_BITRATE_TOO_HIGH"));
    timeline.event(Unconfigured, "2:49:00", Errs(""));
    timeline.event(Unconfigured, "3:05:00", Ends);
    timeline.event(Unconfigured, "3:20:00", Begins);
}

/// The disk of the second replica is full for a moment; Cloudflare tries again.
fn full_disk(timeline: &mut Timeline) {
    let refused = Transit { fails_at_second: true, ..timeline.usual() };
    timeline.event_by(refused, PodcastRoom, timeline.moment("3:10:30"), Begins);
    timeline.event(PodcastRoom, "3:40:00", Ends);
}

/// The keyframe interval is wrong; Cloudflare says so again and again.
fn misconfigured_encoder(timeline: &mut Timeline, clock: &str, errors: u32, seconds: u64) {
    for number in 0..errors {
        let at = timeline.moment(clock).plus(Duration::from_secs(seconds) * number);
        let transit = timeline.usual();
        timeline.event_by(transit, PodcastRoom, at, Errs("ERR_GOP_OUT_OF_RANGE"));
    }
}

/// The account is out of storage, and two inputs are refused until somebody pays.
fn blocked_account(timeline: &mut Timeline) {
    for (input, ends, refused, begins) in
        [(LobbyCamera, "4:08:00", "4:10:10", "4:24:00"), (Auditorium, "4:09:00", "4:10:40", "4:25:30")]
    {
        timeline.event(input, ends, Ends);
        for number in 0..6_u32 {
            let at = timeline.moment(refused).plus(Duration::from_secs(125) * number);
            let transit = timeline.usual();
            timeline.event_by(transit, input, at, Errs("ERR_STORAGE_QUOTA_EXHAUSTED"));
        }
        timeline.event(input, begins, Begins);
    }
}

fn wrong_codecs(timeline: &mut Timeline) {
    timeline.event(BackupFeed, "4:45:00", Begins);
    let malformed = Transit { malformed: true, ..timeline.usual() };
    timeline.event_by(malformed, BackupFeed, timeline.moment("4:50:00"), Errs("ERR_UNSUPPORTED_VIDEO_CODEC"));
    timeline.event(BackupFeed, "4:51:00", Errs("ERR_UNSUPPORTED_VIDEO_CODEC"));
    timeline.event(BackupFeed, "4:52:00", Errs("ERR_UNSUPPORTED_AUDIO_CODEC"));
}

/// After a rotation of the secret; what the end of the timeline looks like.
fn last_hour(timeline: &mut Timeline) {
    timeline.post("5:05:30", notification::save_and_test(), None);
    timeline.event(BackupFeed, "5:10:00", Ends);
    // The exporter's clock is a little behind.
    let early = Transit { delivery_delay: -0.6, ..timeline.usual() };
    timeline.event_by(early, MainStage, timeline.moment("5:25:00"), Ends);
    timeline.event(MainStage, "5:25:20", Resumes);
    timeline.event(Auditorium, "5:30:00", Errs("ERR_UNHEALTHY"));
    timeline.event(PodcastRoom, "5:35:00", Begins);
    timeline.event(Auditorium, "5:47:20", Ends);
}

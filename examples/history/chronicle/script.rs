//! The story: six hours of a site with ten live inputs and two replicas of the exporter.
//!
//! Nothing happens in the minutes around the beginning, three hours, five hours, and the end, so that
//! a range that begins or ends there has one truth, whatever lies between two scrapes.

use std::time::Duration;

use stream_live_exporter::event::{IgnoredReason, Timestamp};

use super::cast::{Configuration, Input};
use super::notification;
use super::story::{Journey, Meaning, REPLICAS, Story, What};

use Input::{Auditorium, BackupFeed, Chapel, LobbyCamera, MainStage, Nameless, PodcastRoom, StudioB, TrainingRoom};
use Meaning::{Begins, Ends, Errs, IsLate, RepeatsConnected, RepeatsDisconnected, Resumes};

/// Tells the story that begins then.
pub fn tell(begin: Timestamp) -> Story {
    let mut story = Story::new(begin);
    starts_and_reloads(&mut story);
    before(&mut story);
    morning(&mut story);
    late_notifications(&mut story);
    unsteady_uplink(&mut story);
    strangers(&mut story);
    nameless_input(&mut story);
    full_disk(&mut story);
    misconfigured_encoder(&mut story, "3:21:00", 4, 90);
    blocked_account(&mut story);
    wrong_codecs(&mut story);
    story.rotate_secret();
    last_hour(&mut story);
    misconfigured_encoder(&mut story, "5:46:00", 14, 45);
    story.finish()
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
pub fn configurations(story: &Story) -> [(Timestamp, Configuration); 4] {
    [
        (Timestamp::EPOCH, Configuration::default()),
        (story.moment("1:00:05"), Configuration { service: true, training: false }),
        (story.moment("3:30:05"), Configuration { service: false, training: false }),
        (story.moment("5:20:05"), Configuration { service: false, training: true }),
    ]
}

fn starts_and_reloads(story: &mut Story) {
    for replica in 0..REPLICAS {
        story.occur(story.moment("-40:00:00"), replica, What::Started(Configuration::default()));
        for (at, configuration) in configurations(story).into_iter().skip(1) {
            story.occur(at, replica, What::Reloaded(configuration));
        }
    }
    // Somebody edits the file of one replica by hand.
    story.occur(story.moment("3:50:20"), 0, What::ReloadFailed);
    story.occur(story.moment("3:58:10"), 0, What::Reloaded(Configuration::default()));
    // An update: three scrapes find nobody.
    story.occur(story.moment("4:40:05"), 0, What::Stopped);
    story.occur(story.moment("4:40:50"), 0, What::Started(Configuration::default()));
}

fn before(story: &mut Story) {
    story.tell(Chapel, "-30:00:00", Begins);
    story.tell(Chapel, "-28:10:00", Ends);
    story.tell(LobbyCamera, "-26:00:00", Begins);
    story.tell(MainStage, "-20:00:00", Begins);
    story.tell(StudioB, "-3:10:00", Begins);
    story.tell(Auditorium, "-2:00:00", Begins);
}

fn morning(story: &mut Story) {
    // The second replica is not told of all of it.
    story.tell_first(PodcastRoom, "0:05:10", Begins);
    story.tell_first(PodcastRoom, "0:47:30", Ends);
    // The notification of its end is lost, then that of its beginning.
    story.tell(BackupFeed, "0:12:00", Begins);
    story.tell_first(BackupFeed, "0:50:20", RepeatsConnected);
    story.tell(BackupFeed, "1:24:00", Ends);
    story.tell(BackupFeed, "2:31:40", RepeatsDisconnected);
    story.tell(Chapel, "0:58:20", Begins);
    story.tell(Chapel, "3:32:10", Ends);
    story.tell(MainStage, "1:10:00", Ends);
    story.tell(MainStage, "1:14:30", Begins);
    let twice = Journey { twice: true, ..story.usual() };
    story.tell_by(twice, MainStage, story.moment("1:41:00"), Ends);
    story.tell(MainStage, "1:41:18", Resumes);
}

/// For some minutes Cloudflare takes its time, while an encoder is struggling.
fn late_notifications(story: &mut Story) {
    for number in 0..8_u32 {
        let journey =
            Journey { source_delay: 45.0 + 6.0 * f64::from(number), lost_to_second: number == 2, ..story.usual() };
        let at = story.moment("0:22:00").plus(Duration::from_secs(80) * number);
        story.tell_by(journey, LobbyCamera, at, Errs("ERR_UNHEALTHY"));
    }
}

/// Twelve gaps of some seconds each. One of them is told in the wrong order, another only to one.
fn unsteady_uplink(story: &mut Story) {
    for number in 0..12_u32 {
        let dropped = story.moment("2:00:00").plus(Duration::from_secs(65) * number);
        let back = dropped.plus(Duration::from_secs(6 + u64::from(number * 5 % 14)));
        let mut journey = story.usual();
        journey.lost_to_second = number == 0;
        journey.twice = number % 5 == 2;
        if number == 7 {
            let late = Journey { source_delay: 31.0, lost_to_second: true, ..journey };
            story.tell_by(late, StudioB, dropped, IsLate);
            story.tell_by(journey, StudioB, back, RepeatsConnected);
        } else {
            story.tell_by(journey, StudioB, dropped, Ends);
            story.tell_by(journey, StudioB, back, Resumes);
        }
    }
    story.tell(StudioB, "5:12:00", Ends);
    story.tell(StudioB, "5:12:25", Resumes);
}

fn strangers(story: &mut Story) {
    for number in 0..24_u32 {
        let replica = usize::from(number % 4 == 3);
        story.occur(story.moment("2:20:00").plus(Duration::from_secs(23) * number), replica, What::Refused("secret"));
    }
    for (clock, replica, reason) in [
        ("2:21:10", 0, "method"),
        ("2:22:40", 0, "method"),
        ("2:24:00", 0, "not_json"),
        ("2:25:30", 1, "too_large"),
        ("2:26:10", 0, "timeout"),
        ("2:27:00", 1, "encoding"),
    ] {
        story.refuse(clock, replica, reason);
    }
    story.post("1:20:10", notification::other_product(story.moment("1:20:09")), Some(IgnoredReason::AlertType));
}

fn nameless_input(story: &mut Story) {
    story.tell(Nameless, "2:40:15", Begins);
    story.tell(Nameless, "2:44:00", Errs("ERR_BITRATE_TOO_HIGH"));
    story.tell(Nameless, "2:46:30", Errs("ERR_BITRATE_TOO_HIGH"));
    story.tell(Nameless, "2:49:00", Errs(""));
    story.tell(Nameless, "3:05:00", Ends);
    story.tell(Nameless, "3:20:00", Begins);
}

/// The disk of the second replica is full for a moment; Cloudflare tries again.
fn full_disk(story: &mut Story) {
    let refused = Journey { fails_at_second: true, ..story.usual() };
    story.tell_by(refused, PodcastRoom, story.moment("3:10:30"), Begins);
    story.tell(PodcastRoom, "3:40:00", Ends);
}

/// The keyframe interval is wrong; Cloudflare says so again and again.
fn misconfigured_encoder(story: &mut Story, clock: &str, errors: u32, seconds: u64) {
    for number in 0..errors {
        let at = story.moment(clock).plus(Duration::from_secs(seconds) * number);
        let journey = story.usual();
        story.tell_by(journey, PodcastRoom, at, Errs("ERR_GOP_OUT_OF_RANGE"));
    }
}

/// The account is out of storage, and two inputs are refused until somebody pays.
fn blocked_account(story: &mut Story) {
    for (input, ends, refused, begins) in
        [(LobbyCamera, "4:08:00", "4:10:10", "4:24:00"), (Auditorium, "4:09:00", "4:10:40", "4:25:30")]
    {
        story.tell(input, ends, Ends);
        for number in 0..6_u32 {
            let at = story.moment(refused).plus(Duration::from_secs(125) * number);
            let journey = story.usual();
            story.tell_by(journey, input, at, Errs("ERR_STORAGE_QUOTA_EXHAUSTED"));
        }
        story.tell(input, begins, Begins);
    }
}

fn wrong_codecs(story: &mut Story) {
    story.tell(BackupFeed, "4:45:00", Begins);
    let sloppy = Journey { sloppy: true, ..story.usual() };
    story.tell_by(sloppy, BackupFeed, story.moment("4:50:00"), Errs("ERR_UNSUPPORTED_VIDEO_CODEC"));
    story.tell(BackupFeed, "4:51:00", Errs("ERR_UNSUPPORTED_VIDEO_CODEC"));
    story.tell(BackupFeed, "4:52:00", Errs("ERR_UNSUPPORTED_AUDIO_CODEC"));
}

/// After a rotation of the secret; what the end of the story looks like.
fn last_hour(story: &mut Story) {
    story.post("5:05:30", notification::save_and_test(), None);
    story.tell(BackupFeed, "5:10:00", Ends);
    // The exporter's clock is a little behind.
    let early = Journey { delivery_delay: -0.6, ..story.usual() };
    story.tell_by(early, MainStage, story.moment("5:25:00"), Ends);
    story.tell(MainStage, "5:25:20", Resumes);
    story.tell(Auditorium, "5:30:00", Errs("ERR_UNHEALTHY"));
    story.tell(PodcastRoom, "5:35:00", Begins);
    story.tell(Auditorium, "5:47:20", Ends);
}

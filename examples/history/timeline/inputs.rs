//! The live inputs and their configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use stream_live_exporter::event::{AccountId, InputId, Timestamp};
use stream_live_exporter::schedule::{Configured, Expectation, Schedule, Window};

use super::actions::time;

/// A live input of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Live for days, with two short breaks.
    MainStage,
    /// Expected during one service only; the next one is in a week.
    Chapel,
    /// Has an unstable uplink.
    StudioB,
    /// Not expected; some of its notifications are lost.
    BackupFeed,
    /// Its encoder is misconfigured several times.
    PodcastRoom,
    /// Has late notifications, and is blocked while the account is out of storage. Expected for two more hours.
    LobbyCamera,
    /// Off air at the end, although it is expected.
    Auditorium,
    /// Configured late and expected; has no events.
    TrainingRoom,
    /// Configured and never expected; has no events.
    SpareEncoder,
    /// Not configured; known from its first event on.
    Unconfigured,
}

/// A Cloudflare account: its configured name and its id.
#[derive(Debug, Clone, Copy)]
pub struct Account(pub &'static str, &'static str);

pub const ACCOUNTS: [Account; 2] =
    [Account("main", "51e0c1a7e51e0c1a7e51e0c1a7e51e0c"), Account("campus", "ca3b05d2ca3b05d2ca3b05d2ca3b05d2")];

impl Account {
    pub fn id(self) -> AccountId {
        self.1.parse().expect("ids are 32 hexadecimal digits")
    }
}

/// What changes of the configuration and of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The chapel is in the window of its schedule.
    pub service: bool,
    /// The training room is configured and expected.
    pub training: bool,
}

impl Input {
    pub const ALL: [Self; 10] = [
        Self::MainStage,
        Self::Chapel,
        Self::StudioB,
        Self::BackupFeed,
        Self::PodcastRoom,
        Self::LobbyCamera,
        Self::Auditorium,
        Self::TrainingRoom,
        Self::SpareEncoder,
        Self::Unconfigured,
    ];

    fn name_and_id(self) -> (&'static str, &'static str) {
        match self {
            Self::MainStage => ("Main stage", "0f6c2b9a41d84e57b3a19c62d7e80f15"),
            Self::Chapel => ("Chapel", "1d2e97c05ab3486f9e40718bc6a5f3d2"),
            Self::StudioB => ("Studio B", "2a84f1e6c93b4d07a58e6f0b19d7c3e4"),
            Self::BackupFeed => ("Backup feed", "3c57a0d9e16f42b88b7d24e5f0a9c681"),
            Self::PodcastRoom => ("Podcast room", "4e91b6f80c2d4a73952fc8d1e7035ab6"),
            Self::LobbyCamera => ("Lobby camera", "5b08d3c7f4a1496e8d62b5907fe1ca38"),
            Self::Auditorium => ("Auditorium", "6fa27e15d80b43c9a7f4091c3d5e82b6"),
            Self::TrainingRoom => ("Training room", "7c40e9b2a5d648f1b60f83e7d12c95a4"),
            Self::SpareEncoder => ("Spare encoder", "8d13f7a64e0c4b29952ed08bc7f6a1e3"),
            Self::Unconfigured => ("", "9e65c0b8d7f24a1389b1e54f2ad3076c"),
        }
    }

    /// The configured name; empty for the unconfigured input.
    pub fn name(self) -> &'static str {
        self.name_and_id().0
    }

    pub fn id(self) -> InputId {
        self.name_and_id().1.parse().expect("ids are 32 hexadecimal digits")
    }

    /// Name and id of its account; `None` if that is not known, because the input has no events.
    pub fn account(self) -> Option<(&'static str, AccountId)> {
        let [main, campus] = ACCOUNTS;
        let account = match self {
            Self::MainStage
            | Self::Chapel
            | Self::StudioB
            | Self::BackupFeed
            | Self::LobbyCamera
            | Self::Auditorium => main,
            Self::PodcastRoom | Self::Unconfigured => campus,
            Self::TrainingRoom | Self::SpareEncoder => return None,
        };
        Some((account.0, account.id()))
    }

    /// The windows in which it is expected, as offsets from the beginning of the timeline; none without a schedule.
    pub fn windows(self) -> &'static [[&'static str; 2]] {
        match self {
            Self::Chapel => &[["1:00:05", "3:30:05"], ["169:00:05", "171:30:05"]],
            Self::LobbyCamera => &[["-48:00:00", "8:00:00"]],
            Self::MainStage
            | Self::StudioB
            | Self::BackupFeed
            | Self::PodcastRoom
            | Self::Auditorium
            | Self::TrainingRoom
            | Self::SpareEncoder
            | Self::Unconfigured => &[],
        }
    }

    fn expectation(self, expected: bool, begin: Timestamp) -> Expectation {
        let window = |[from, until]: &[&str; 2]| Window::dated(time(begin, from), time(begin, until));
        match self.windows() {
            [] if expected => Expectation::Always,
            [] => Expectation::Never,
            windows => {
                let windows = windows.iter().map(window).collect::<Result<_, _>>();
                Expectation::Scheduled(Arc::new(Schedule::new(windows.expect("windows end after they begin"))))
            }
        }
    }

    pub fn of(input_id: InputId) -> Option<Self> {
        Self::ALL.into_iter().find(|input| input.id() == input_id)
    }

    /// Whether the input is expected to be live; `None` if it is not configured.
    pub fn expected(self, configuration: Configuration) -> Option<bool> {
        match self {
            Self::MainStage | Self::StudioB | Self::LobbyCamera | Self::Auditorium => Some(true),
            Self::BackupFeed | Self::PodcastRoom | Self::SpareEncoder => Some(false),
            Self::Chapel => Some(configuration.service),
            Self::TrainingRoom => configuration.training.then_some(true),
            Self::Unconfigured => None,
        }
    }
}

impl Configuration {
    pub fn inputs(self, begin: Timestamp) -> BTreeMap<InputId, Configured> {
        let configured = Input::ALL.into_iter().filter_map(|input| {
            let expectation = input.expectation(input.expected(self)?, begin);
            Some((input.id(), Configured { name: input.name().into(), expectation }))
        });
        configured.collect()
    }
}

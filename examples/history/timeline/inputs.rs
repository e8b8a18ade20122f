//! Who is in the timeline: live inputs, and what the configuration says of them.

use std::collections::BTreeMap;

use stream_live_exporter::event::InputId;
use stream_live_exporter::schedule::{Configured, Expectation};

/// A live input of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// On air for days, with two short breaks.
    MainStage,
    /// Expected for one service only.
    Chapel,
    /// Has an unsteady uplink.
    StudioB,
    /// Nobody misses it; some of its notifications are lost.
    BackupFeed,
    /// Has an encoder that somebody misconfigures again and again.
    PodcastRoom,
    /// Healthy but for its notifications, until the account is out of storage.
    LobbyCamera,
    /// Off air at the end, and missed.
    Auditorium,
    /// Configured late, expected, never heard of.
    TrainingRoom,
    /// Configured, never expected, never heard of.
    SpareEncoder,
    /// Not configured: it becomes known by its first event.
    Unconfigured,
}

/// What the configuration says at some time; the rest of it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The chapel is expected: there is a service.
    pub service: bool,
    /// The training room is set up, and expected.
    pub training: bool,
}

impl Input {
    /// Everybody.
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

    /// The configured name; empty for the one that is not configured.
    pub fn name(self) -> &'static str {
        match self {
            Self::MainStage => "Main stage",
            Self::Chapel => "Chapel",
            Self::StudioB => "Studio B",
            Self::BackupFeed => "Backup feed",
            Self::PodcastRoom => "Podcast room",
            Self::LobbyCamera => "Lobby camera",
            Self::Auditorium => "Auditorium",
            Self::TrainingRoom => "Training room",
            Self::SpareEncoder => "Spare encoder",
            Self::Unconfigured => "",
        }
    }

    /// Its identifier.
    pub fn id(self) -> InputId {
        let digits = match self {
            Self::MainStage => "0f6c2b9a41d84e57b3a19c62d7e80f15",
            Self::Chapel => "1d2e97c05ab3486f9e40718bc6a5f3d2",
            Self::StudioB => "2a84f1e6c93b4d07a58e6f0b19d7c3e4",
            Self::BackupFeed => "3c57a0d9e16f42b88b7d24e5f0a9c681",
            Self::PodcastRoom => "4e91b6f80c2d4a73952fc8d1e7035ab6",
            Self::LobbyCamera => "5b08d3c7f4a1496e8d62b5907fe1ca38",
            Self::Auditorium => "6fa27e15d80b43c9a7f4091c3d5e82b6",
            Self::TrainingRoom => "7c40e9b2a5d648f1b60f83e7d12c95a4",
            Self::SpareEncoder => "8d13f7a64e0c4b29952ed08bc7f6a1e3",
            Self::Unconfigured => "9e65c0b8d7f24a1389b1e54f2ad3076c",
        };
        digits.parse().expect("the digits are an input's identifier")
    }

    /// Whether it should be live by this configuration; `None` when that does not name it.
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
    /// The configured inputs.
    pub fn inputs(self) -> BTreeMap<InputId, Configured> {
        let configured = Input::ALL.into_iter().filter_map(|input| {
            let expectation = if input.expected(self)? { Expectation::Always } else { Expectation::Never };
            Some((input.id(), Configured { name: input.name().into(), expectation }))
        });
        configured.collect()
    }
}

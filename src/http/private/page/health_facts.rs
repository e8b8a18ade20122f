//! What the health section shows that is not part of the state.

use std::path::PathBuf;

use crate::event::Timestamp;
use crate::http::configuration::ListenerCertificate;
use crate::http::private::{PRIVATE_CONNECTIONS, Private};
use crate::metrics;
use crate::recorder::{DiskOperation, QueueUsage};

/// Values of the parts of the daemon, at one moment. Metrics of the same meaning have the same values.
#[derive(Debug, Default)]
pub(super) struct HealthFacts {
    pub(super) queue: QueueUsage,
    /// The operation of the recorder on the disk.
    pub(super) operation: Option<DiskOperation>,
    /// It takes unusually long.
    pub(super) is_hanging: bool,
    pub(super) connections: Vec<ConnectionFacts>,
    pub(super) certificates: Vec<CertificateFacts>,
    /// When the process started.
    pub(super) started_at: Option<Timestamp>,
}

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct ConnectionFacts {
    pub(super) listener: &'static str,
    pub(super) open: f64,
    pub(super) limit: usize,
    /// Closed because of a limit, since the start.
    pub(super) refused: u64,
}

/// The certificate of a listener.
#[derive(Debug)]
pub(super) struct CertificateFacts {
    pub(super) listener: &'static str,
    pub(super) file: PathBuf,
    pub(super) not_after: Timestamp,
}

impl HealthFacts {
    /// Reads all of them.
    pub(super) fn take(private: &Private) -> Self {
        let (disk, configuration) = (private.state_reader.readiness().disk(), private.configuration.borrow().clone());
        let certificate = |certificate: &ListenerCertificate| CertificateFacts {
            listener: certificate.listener,
            file: certificate.file.clone(),
            not_after: (certificate.not_after)(),
        };
        let limits = [("webhook", configuration.max_connections), ("web", PRIVATE_CONNECTIONS)];
        Self {
            queue: private.recorder.queue_usage(),
            operation: disk.current(),
            is_hanging: disk.hanging().is_some(),
            connections: limits.map(|(listener, limit)| ConnectionFacts::of(private, listener, limit)).into(),
            certificates: configuration.certificates.iter().map(certificate).collect(),
            started_at: metrics::started_at(),
        }
    }
}

impl ConnectionFacts {
    fn of(private: &Private, listener: &'static str, limit: usize) -> Self {
        let refused = |reason| private.metrics.connections_refused.with_label_values(&[listener, reason]).get();
        Self {
            listener,
            open: private.metrics.connections.with_label_values(&[listener]).get(),
            limit,
            refused: ["total", "peer", "evicted"].map(refused).iter().sum(),
        }
    }
}

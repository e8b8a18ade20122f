//! The gauges about Cloudflare's API, by account.

use prometheus::GaugeVec;

use super::exporter::{Exporter, seconds};
use crate::event::Timestamp;

/// What is known of an account. A value that is not known has no series.
#[derive(Debug, Clone, Default)]
pub struct AccountGauges {
    /// When each task last completed, by the label `task`.
    pub last_success: Vec<(&'static str, Option<Timestamp>)>,
    /// When the input was asked whose last answer is the oldest.
    pub oldest_status: Option<Timestamp>,
    /// When Cloudflare last delivered to the destination.
    pub destination_last_success: Option<Timestamp>,
    /// When Cloudflare last failed to.
    pub destination_last_failure: Option<Timestamp>,
    /// Whether a policy sends all events to the destination.
    pub policy_delivering: Option<bool>,
}

impl Exporter {
    /// Sets the gauges of an account, by its configured name.
    pub fn set_account(&self, name: &str, gauges: &AccountGauges) {
        let time = |timestamp: Option<Timestamp>| timestamp.map(seconds);
        for (task, last_success) in &gauges.last_success {
            set(&self.cloudflare_last_success, &[name, task], time(*last_success));
        }
        set(&self.cloudflare_oldest_status, &[name], time(gauges.oldest_status));
        set(&self.cloudflare_destination_success, &[name], time(gauges.destination_last_success));
        set(&self.cloudflare_destination_failure, &[name], time(gauges.destination_last_failure));
        set(
            &self.cloudflare_policy_delivering,
            &[name],
            gauges.policy_delivering.map(|delivers| f64::from(u8::from(delivers))),
        );
    }
}

fn set(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        // An error means that there is no such series.
        None => drop(gauge.remove_label_values(labels)),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::proto::MetricFamily;

    use super::*;

    #[test]
    fn value_that_is_not_known_any_more_has_no_series() {
        let exporter = Exporter::new(Timestamp::EPOCH, false);
        let at = Some(Timestamp::from_seconds(7));
        let known = AccountGauges {
            last_success: vec![("inventory", at)],
            oldest_status: at,
            destination_last_success: at,
            destination_last_failure: at,
            policy_delivering: Some(false),
        };
        let series = || {
            let families = exporter.registry.gather();
            let families =
                families.iter().filter(|family| family.name().starts_with("stream_live_exporter_cloudflare_"));
            families.flat_map(MetricFamily::get_metric).map(|metric| metric.get_gauge().get_value()).collect::<Vec<_>>()
        };
        assert_eq!(series(), [0.0; 0]);
        exporter.set_account("studio", &known);
        assert_eq!(series(), [7.0, 7.0, 7.0, 7.0, 0.0]);
        exporter.set_account(
            "studio",
            &AccountGauges { last_success: vec![("inventory", None)], ..AccountGauges::default() },
        );
        assert_eq!(series(), [0.0; 0]);
    }
}

//! Numbers for Prometheus. Each server has its own, so that several may run in one process.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Calls of either side by API and result.
pub const REQUESTS: &str = "mpp_requests_total";
/// How long they took.
pub const DURATIONS: &str = "mpp_request_duration_seconds";
/// What became of relayed requests.
pub const RELAYED: &str = "mpp_relay_total";
/// What became of sent notices.
pub const NOTICES: &str = "mpp_notices_total";
/// Notices that wait, due or not.
pub const NOTICES_WAITING: &str = "mpp_notices_waiting";
/// Jobs that wait for the database.
pub const STORE_QUEUE: &str = "mpp_store_queue";

/// Upper bounds of the duration buckets, in seconds: from a commit to the gateway's expiry.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 15.0];

const METADATA: Metadata<'static> = Metadata::new("mpp_server", Level::INFO, Some("mpp_server"));

/// The numbers of one server. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Numbers that begin at 0.
    ///
    /// # Errors
    /// [`BuildError`] if the exporter refuses the buckets: a bug.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.build_recorder();
        let handle = recorder.handle();
        for (name, text) in [
            (REQUESTS, "calls by side, API and result"),
            (RELAYED, "relayed requests by type and outcome"),
            (NOTICES, "payment results sent to the gateway, by outcome"),
        ] {
            recorder.describe_counter(KeyName::from_const_str(name), None, SharedString::const_str(text));
        }
        let durations = SharedString::const_str("how long calls took, by side and API");
        recorder.describe_histogram(KeyName::from_const_str(DURATIONS), Some(Unit::Seconds), durations);
        for (name, text) in [
            (NOTICES_WAITING, "payment results that the gateway has not acknowledged yet"),
            (STORE_QUEUE, "jobs that wait for the database"),
        ] {
            recorder.describe_gauge(KeyName::from_const_str(name), None, SharedString::const_str(text));
        }
        Ok(Self { recorder: Arc::new(recorder), handle })
    }

    /// A call of `side` (`app` or `partner`) to `api` ended with `result` after `elapsed`.
    pub fn request(&self, side: &'static str, api: &'static str, result: &str, elapsed: Duration) {
        let call = || vec![Label::from_static_parts("side", side), Label::from_static_parts("api", api)];
        let mut labels = call();
        labels.push(Label::new("result", result.to_owned()));
        self.count(REQUESTS, labels);
        let key = Key::from_parts(DURATIONS, call());
        self.recorder.register_histogram(&key, &METADATA).record(elapsed.as_secs_f64());
    }

    /// A relayed request of `kind` ended with `outcome`.
    pub fn relayed(&self, kind: &'static str, outcome: &'static str) {
        self.count(RELAYED, vec![Label::from_static_parts("type", kind), Label::from_static_parts("outcome", outcome)]);
    }

    /// A notice was sent, with `outcome`.
    pub fn notified(&self, outcome: &'static str) {
        self.count(NOTICES, vec![Label::from_static_parts("outcome", outcome)]);
    }

    /// How many notices wait.
    pub fn notices_waiting(&self, count: u64) {
        self.gauge(NOTICES_WAITING, count);
    }

    /// How many jobs wait for the database.
    pub fn store_queue(&self, count: usize) {
        self.gauge(STORE_QUEUE, count as u64);
    }

    /// All numbers in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        // Samples that nobody has asked for yet would pile up otherwise.
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Folds samples together. To be called every few seconds, also where nobody asks for the numbers.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    fn count(&self, name: &'static str, labels: Vec<Label>) {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA).increment(1);
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of waiting jobs are small")]
    fn gauge(&self, name: &'static str, value: u64) {
        self.recorder.register_gauge(&Key::from_static_name(name), &METADATA).set(value as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_of_one_process_count_on_their_own() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.request("partner", "pay", "SUCCESS", Duration::from_millis(3));
        one.store_queue(7);
        let text = one.render();
        assert!(text.contains(r#"mpp_requests_total{side="partner",api="pay",result="SUCCESS"} 1"#), "{text}");
        assert!(
            text.contains(r#"mpp_request_duration_seconds_bucket{side="partner",api="pay",le="0.005"} 1"#),
            "{text}"
        );
        assert!(text.contains("mpp_store_queue 7"), "{text}");
        assert!(!other.render().contains("pay"));
    }
}

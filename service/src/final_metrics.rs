//! The last values leave, also when no scraper comes for them: a stop pushes them to a Pushgateway, writes them for node-exporter, or
//! does both.

mod pushgateway;
mod textfile;

use std::{future::Future, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{task::spawn_blocking, time::Instant};
use winddown::{Cause, Hook, Part, Phase, Shutdown};

pub(crate) use self::{pushgateway::Group, textfile::Textfile};
use crate::telemetry;

/// Where a stop leaves the final metrics.
#[derive(Debug)]
pub(crate) struct FinalMetrics {
    pub(crate) group: Option<Group>,
    pub(crate) textfile: Option<Textfile>,
}

impl FinalMetrics {
    /// How much of the flush leaving them may take. The rest is for what goes before, and for the last scrape behind it.
    pub(crate) fn share(&self, flush: Duration) -> Duration {
        if self.group.is_some() || self.textfile.is_some() { flush / 2 } else { Duration::ZERO }
    }

    /// Has the stop leave them, in one step of the flush, which has to be its last: then all that they show has happened, but for
    /// the hooks of this very step, which run side by side.
    pub(crate) fn leave_in(self, stop: &Shutdown, metrics: PrometheusHandle) {
        let most = self.share(stop.budget().part(Part::Flush));
        let values = Values { stop: stop.clone(), metrics };
        let push = self
            .group
            .map(|group| values.clone().hook("metrics push", move |text, deadline| group.put(text, deadline)));
        let write = self.textfile.map(|file| {
            values.hook("metrics textfile", async move |text, _| {
                // Elsewhere: a file system that hangs blocks whoever writes to it.
                let written = spawn_blocking(move || file.write(&text)).await;
                written.unwrap_or_else(|panic| Err(panic.to_string()))
            })
        });
        let hooks: Vec<_> = push.into_iter().chain(write).map(|hook| hook.timeout(most)).collect();
        if !hooks.is_empty() {
            stop.step(Phase::Flush, hooks);
        }
    }
}

/// What there is to leave.
#[derive(Clone)]
struct Values {
    stop: Shutdown,
    metrics: PrometheusHandle,
}

impl Values {
    /// A hook that leaves their text.
    fn hook<F>(self, name: &str, leave: impl FnOnce(String, Instant) -> F + Send + 'static) -> Hook
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Hook::new(name, move |context| async move {
            match self.text() {
                Some(text) => leave(text, context.deadline).await.map_err(Into::into),
                None => Ok(()),
            }
        })
    }

    /// What a scrape would show at this moment, without `process_*`. `None` of a process that could not start: it must not overwrite
    /// what the last stop left.
    fn text(&self) -> Option<String> {
        if matches!(self.stop.status().cause, Some(Cause::StartFailed { .. })) {
            return None;
        }
        self.stop.publish_metrics();
        Some(without_process(&telemetry::render(&self.metrics)))
    }
}

/// Whoever keeps the text is a process, too, and shows its own `process_*`: node-exporter would drop what has the same names. Of a
/// process that is gone they mean nothing anyway.
fn without_process(text: &str) -> String {
    let is_of_process = |line: &&str| {
        let named = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line);
        named.starts_with("process_")
    };
    text.split_inclusive('\n').filter(|line| !is_of_process(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_are_left_out_and_no_others() {
        let kept = "# HELP in_process_total of process_open_fds\n# TYPE in_process_total counter\nin_process_total{a=\"process_\"} 1\n\n";
        let process =
            "# HELP process_open_fds open\n# TYPE process_open_fds gauge\nprocess_open_fds 7\nprocess_x{a=\"b\"} 1\n";
        assert_eq!(without_process(&format!("{process}{kept}{process}{kept}")), format!("{kept}{kept}"));
    }
}

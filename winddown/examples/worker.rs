//! A background worker behind an HTTP route. It takes jobs from a queue, and at T0 no more of them; the job in its hands it
//! finishes if there is time, and hands back if not. So no job that was accepted is lost, and none is half done.
//!
//! ```text
//! cargo run --package winddown --example worker     # then curl -X POST ADDRESS/jobs/3000, and Ctrl-C
//! ```

use std::{process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use tokio::sync::{Mutex, Notify};
use winddown::{BoxError, Phase, ServerHandle, Shutdown, Task};

/// How many milliseconds of work a job is.
type Job = u64;

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let signals = winddown::signals()?;
    let stop = Shutdown::builder().build()?;
    let (queue, server) = start(&stop)?;
    println!("http://{}", server.local_addr()?);
    let report = stop.run_until(signals).await;
    println!("{report}\nleft in the queue: {:?}", queue.jobs.lock().await);
    Ok(report.into())
}

fn start(stop: &Shutdown) -> Result<(Arc<Queue>, ServerHandle), BoxError> {
    let queue = Arc::<Queue>::default();
    let worked = queue.clone();
    stop.spawn("worker", |task| async move { worked.work(task).await });
    // The release comes after the last request and the last task: nobody adds to the queue any more.
    let kept = queue.clone();
    stop.hook(Phase::Release, "queue", move |_| async move { kept.keep().await });
    let router = Router::new().route("/jobs/{job}", post(accept)).with_state(queue.clone());
    Ok((queue, stop.serve("public", winddown::bind("127.0.0.1:0".parse()?)?, router)))
}

async fn accept(State(queue): State<Arc<Queue>>, Path(job): Path<Job>) -> StatusCode {
    queue.put(job).await;
    StatusCode::ACCEPTED
}

/// Jobs that wait. In a real service they are rows of a table, or messages of a broker.
#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Vec<Job>>,
    more: Notify,
}

impl Queue {
    async fn put(&self, job: Job) {
        self.jobs.lock().await.push(job);
        self.more.notify_one();
    }

    async fn work(&self, task: Task) {
        while !task.is_draining() {
            let Some(job) = self.jobs.lock().await.pop() else {
                tokio::select! {
                    () = self.more.notified() => continue,
                    () = task.draining() => return,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(job)) => {}
                // The background phase is over, and there is a moment left to hand the job back.
                () = task.cancelled() => return self.put(job).await,
            }
        }
    }

    /// Where the next process finds it. Here it only stays in memory.
    async fn keep(&self) -> Result<(), BoxError> {
        let jobs = self.jobs.lock().await.len();
        tracing::info!(jobs, "kept for the next process");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use winddown::{Cause, Report, Signals, Split};

    use super::*;

    /// A stop that comes when the worker has this job in its hands, and another one waits behind it.
    async fn stopped_at(job: Job) -> (Report, Vec<Job>) {
        let split =
            Split { lame_duck: Some(Duration::ZERO), background: Some(Duration::from_millis(200)), ..Split::default() };
        let stop = Shutdown::builder().split(split).build().expect("it fits");
        let (queue, _server) = start(&stop).expect("loopback has ports");
        queue.put(job).await;
        while !queue.jobs.lock().await.is_empty() {
            tokio::task::yield_now().await;
        }
        let handle = stop.handle();
        handle.request(Cause::Requested { reason: "test".into() });
        queue.jobs.lock().await.push(1);
        let report = stop.run_until(Signals::from_stream(tokio_stream::pending())).await;
        let left = queue.jobs.lock().await.clone();
        (report, left)
    }

    #[tokio::test]
    async fn a_job_that_is_under_way_is_finished_and_no_other_begun() {
        let (report, left) = stopped_at(50).await;
        assert_eq!(left, [1]);
        assert_eq!(report.exit_code(), 0, "{report}");
    }

    #[tokio::test]
    async fn a_job_that_takes_too_long_is_handed_back() {
        let (report, left) = stopped_at(3_600_000).await;
        assert_eq!(left, [1, 3_600_000]);
        assert_eq!(report.cut_tasks_total, 0, "{report}");
    }
}

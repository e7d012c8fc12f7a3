//! All clients of one stop, on a thread of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::{
    class::{Class, Classes},
    clients::{Client, Stage, Target},
    profile::Profile,
};
use crate::wait;

/// From their start until all clients are served.
const STEADY_WITHIN: Duration = Duration::from_secs(5);

/// Behind the end of the server everything that a client waits for has an end, too.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Clients that are running.
#[derive(Debug)]
pub(super) struct Load {
    runtime: Runtime,
    stage: watch::Sender<Stage>,
    steady: Arc<AtomicU32>,
    clients: Vec<JoinHandle<Class>>,
}

/// What the clients of a stop saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The clients that the signal met; the classes are theirs.
    pub(super) at_risk: u64,
    pub(super) classes: Classes,
    /// The clients that had come to an end before.
    pub(super) early: Classes,
}

/// Clients that a signal meets.
#[derive(Debug)]
pub(super) struct Signalled {
    load: Load,
    met: Vec<bool>,
}

impl Load {
    pub(super) fn start(profile: Profile, target: &Arc<Target>) -> anyhow::Result<Self> {
        // One thread, so that the server has the other processors.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (stage, receiver) = watch::channel(Stage::Loaded);
        let steady = Arc::<AtomicU32>::default();
        let clients = (0..profile.clients())
            .map(|number| {
                let client = Client {
                    target: Arc::clone(target),
                    number,
                    stage: receiver.clone(),
                    steady: Arc::clone(&steady),
                    is_steady: false,
                };
                runtime.spawn(client.run(profile))
            })
            .collect();
        Ok(Self { runtime, stage, steady, clients })
    }

    /// Waits until every client is one that a signal meets. How many are, where not all of them.
    pub(super) fn wait_until_steady(&self) -> anyhow::Result<Result<(), u32>> {
        let all = self.clients.len();
        let steady = || self.steady.load(Ordering::Relaxed);
        let done = wait::until(STEADY_WITHIN, Duration::from_millis(5), || {
            Ok((steady() as usize == all || self.clients.iter().all(JoinHandle::is_finished)).then_some(()))
        })?;
        Ok(if done.is_some() && steady() as usize == all { Ok(()) } else { Err(steady()) })
    }

    /// To be called at the signal: from then on what a client meets is the stop's doing.
    pub(super) fn signal(self) -> Signalled {
        let met = self.clients.iter().map(|client| !client.is_finished()).collect();
        self.stage.send_replace(Stage::Signalled);
        Signalled { load: self, met }
    }
}

impl Signalled {
    /// Ends the clients, now that the server is gone or has to be killed.
    pub(super) fn finish(self) -> Seen {
        let Load { runtime, stage, clients, .. } = self.load;
        stage.send_replace(Stage::Over);
        let ends = runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + LAST_WORD;
            let mut ends = Vec::new();
            for mut client in clients {
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                let end = timeout(left, &mut client).await;
                client.abort();
                ends.push(match end {
                    Ok(Ok(class)) => class,
                    Ok(Err(_)) | Err(_) => Class::Silence,
                });
            }
            ends
        });
        let mut seen = Seen::default();
        for (class, met) in ends.into_iter().zip(self.met) {
            seen.at_risk += u64::from(met);
            *(if met { &mut seen.classes } else { &mut seen.early }).entry(class).or_default() += 1;
        }
        seen
    }
}

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Default)]
struct Bench {
    hooks: Hooks,
    order: Arc<Mutex<Vec<&'static str>>>,
}

impl Bench {
    fn add(&self, phase: Phase, name: &'static str, fate: fn() -> BoxFuture) {
        self.hooks.add(phase, self.hook(name, fate).into());
    }

    fn hook(&self, name: &'static str, fate: fn() -> BoxFuture) -> Hook {
        let order = self.order.clone();
        Hook::new(name, move |_| {
            order.lock().expect("no test panics here").push(name);
            fate()
        })
    }

    /// Runs a phase of ten seconds and says how each hook ended, in order.
    async fn run(&self, phase: Phase) -> Vec<(String, HookOutcome)> {
        self.run_until_forced(phase, &CancellationToken::new()).await
    }

    /// The same, with a cancel grace of two seconds once it is forced.
    async fn run_until_forced(&self, phase: Phase, forced: &CancellationToken) -> Vec<(String, HookOutcome)> {
        let (deadline, cancel_grace) = (Instant::now() + secs(10), secs(2));
        self.hooks.run(Terms { phase, deadline, forced: forced.clone(), cancel_grace }).await;
        self.hooks.reports().into_iter().map(|report| (report.hook, report.outcome)).collect()
    }

    fn order(&self) -> Vec<&'static str> {
        self.order.lock().expect("no test panics here").clone()
    }
}

fn ok() -> BoxFuture {
    Box::pin(async { Ok(()) })
}

fn fail() -> BoxFuture {
    Box::pin(async { Err("disk full".into()) })
}

fn panics() -> BoxFuture {
    Box::pin(async { panic!("index out of bounds") })
}

fn hang() -> BoxFuture {
    Box::pin(std::future::pending())
}

fn four_seconds() -> BoxFuture {
    Box::pin(async {
        tokio::time::sleep(secs(4)).await;
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_and_release_in_reverse() {
    let bench = Bench::default();
    for phase in [Phase::LameDuck, Phase::Release] {
        for name in ["first", "second", "third"] {
            bench.add(phase, name, ok);
        }
    }
    bench.run(Phase::LameDuck).await;
    bench.run(Phase::Release).await;
    assert_eq!(bench.order(), ["first", "second", "third", "third", "second", "first"]);
}

#[tokio::test(start_paused = true)]
async fn c30_error_is_reported_and_later_hooks_run() {
    let bench = Bench::default();
    bench.add(Phase::Flush, "index", fail);
    bench.add(Phase::Flush, "log", ok);
    let outcomes = bench.run(Phase::Flush).await;
    let error = HookOutcome::Error { message: "disk full".into() };
    assert_eq!(outcomes, [("index".into(), error), ("log".into(), HookOutcome::Ok)]);
}

#[tokio::test(start_paused = true)]
async fn c31_hook_that_hangs_takes_no_time_from_later_ones() {
    let bench = Bench::default();
    bench.add(Phase::Flush, "hangs", hang);
    bench.add(Phase::Flush, "needs four seconds", four_seconds);
    let started = Instant::now();
    let outcomes = bench.run(Phase::Flush).await;
    assert_eq!(outcomes[0], ("hangs".into(), HookOutcome::Timeout));
    assert_eq!(outcomes[1], ("needs four seconds".into(), HookOutcome::Ok));
    assert_eq!(started.elapsed(), secs(5 + 4), "half of the ten seconds for each, and no longer");
}

#[tokio::test(start_paused = true)]
async fn c31_timeout_of_a_hook_is_its_own_and_kept_back_for_it() {
    let bench = Bench::default();
    bench.add(Phase::Flush, "hangs", hang);
    bench.hooks.add(Phase::Flush, bench.hook("has eight", four_seconds).timeout(secs(8)).into());
    let started = Instant::now();
    let outcomes = bench.run(Phase::Flush).await;
    assert_eq!(outcomes[1], ("has eight".into(), HookOutcome::Ok));
    assert_eq!(started.elapsed(), secs(2 + 4), "the hanging one had what the eight seconds left");
}

#[tokio::test(start_paused = true)]
async fn c31_timeout_of_a_hook_is_kept_back_for_it_in_a_group_with_one_that_set_none() {
    let bench = Bench::default();
    bench.add(Phase::Flush, "hangs", hang);
    let group = [bench.hook("has eight", hang).timeout(secs(8)), bench.hook("has the rest", hang)];
    bench.hooks.add(Phase::Flush, group.into());
    bench.add(Phase::Flush, "comes last", ok);
    let started = Instant::now();
    let outcomes = bench.run(Phase::Flush).await;
    assert_eq!(outcomes[3], ("comes last".into(), HookOutcome::Ok));
    // Of ten seconds, eight are kept back; three steps share the two, and the one that takes no time leaves its part.
    let (share, longest) = (secs(2) / 3, secs(8) + secs(2) / 3);
    let lengths: Vec<_> = bench.hooks.reports().iter().map(|report| report.duration).collect();
    let near = |one: Duration, two: Duration| one.abs_diff(two) < Duration::from_millis(5);
    assert!(near(lengths[0], share), "{lengths:?}");
    assert!(near(lengths[1], secs(8)) && near(lengths[2], longest), "{lengths:?}");
    assert!(near(started.elapsed(), share + longest), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn c32_panic_is_reported_and_later_hooks_run() {
    let bench = Bench::default();
    bench.add(Phase::Release, "last", ok);
    bench.add(Phase::Release, "panics", panics);
    let outcomes = bench.run(Phase::Release).await;
    let panic = HookOutcome::Panic { message: "index out of bounds".into() };
    assert_eq!(outcomes, [("panics".into(), panic), ("last".into(), HookOutcome::Ok)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_runs_side_by_side_and_none_disturbs_another() {
    let bench = Bench::default();
    let group = [("a", four_seconds as fn() -> BoxFuture), ("b", four_seconds), ("c", panics), ("d", fail)];
    bench.hooks.add(Phase::Release, group.map(|(name, fate)| bench.hook(name, fate)).into());
    let started = Instant::now();
    let mut outcomes = bench.run(Phase::Release).await;
    outcomes.sort_by(|(one, _), (two, _)| one.cmp(two));
    assert_eq!(started.elapsed(), secs(4));
    assert_eq!(outcomes[0].1, HookOutcome::Ok);
    assert_eq!(outcomes[1].1, HookOutcome::Ok);
    assert!(matches!(outcomes[2].1, HookOutcome::Panic { .. }));
    assert!(matches!(outcomes[3].1, HookOutcome::Error { .. }));
}

#[tokio::test(start_paused = true)]
async fn hooks_of_another_phase_wait_for_theirs() {
    let bench = Bench::default();
    bench.add(Phase::Release, "pool", ok);
    bench.run(Phase::LameDuck).await;
    assert!(bench.order().is_empty());
    bench.run(Phase::Release).await;
    assert_eq!(bench.order(), ["pool"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_at_work_is_listed_with_its_age_and_what_it_has_left() {
    let bench = Bench::default();
    bench.add(Phase::Flush, "slow", four_seconds);
    tokio::join!(bench.run(Phase::Flush), async {
        tokio::time::sleep(secs(1)).await;
        let slow =
            HookStatus { phase: Phase::Flush, hook: "slow".into(), at: Duration::ZERO, age: secs(1), left: secs(9) };
        assert_eq!(bench.hooks.working(), [slow]);
    });
    assert!(bench.hooks.working().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_gives_up_what_serves_and_says_so() {
    let (bench, forced) = (Bench::default(), CancellationToken::new());
    bench.add(Phase::Drain, "hangs", hang);
    bench.add(Phase::Drain, "never begun", ok);
    let started = Instant::now();
    let (outcomes, ()) = tokio::join!(bench.run_until_forced(Phase::Drain, &forced), async {
        tokio::time::sleep(secs(1)).await;
        forced.cancel();
    });
    assert_eq!(outcomes, [("hangs".into(), HookOutcome::Forced), ("never begun".into(), HookOutcome::Forced)]);
    assert_eq!(started.elapsed(), secs(1 + 2), "told, and aborted after the cancel grace");
    assert_eq!(bench.order(), ["hangs"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_finishes_when_it_is_told_of_the_force_has_done_its_work() {
    let (hooks, forced) = (Hooks::default(), CancellationToken::new());
    let told = |context: HookContext| async move {
        context.forced.cancelled().await;
        Ok(())
    };
    hooks.add(Phase::LameDuck, Hook::new("deregister", told).into());
    forced.cancel();
    hooks.add(Phase::Release, Hook::new("pool", told).into());
    for phase in [Phase::LameDuck, Phase::Release] {
        let (deadline, forced, cancel_grace) = (Instant::now() + secs(10), forced.clone(), secs(2));
        hooks.run(Terms { phase, deadline, forced, cancel_grace }).await;
    }
    let outcomes: Vec<_> = hooks.reports().into_iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [HookOutcome::Forced, HookOutcome::Ok], "what releases runs in a forced stop, too");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_added_when_its_phase_has_begun_is_reported_as_not_run() {
    let bench = Bench::default();
    bench.run(Phase::Release).await;
    bench.add(Phase::Drain, "too late", ok);
    bench.add(Phase::Flush, "in time", ok);
    let outcomes = bench.run(Phase::Flush).await;
    assert!(matches!(&outcomes[0].1, HookOutcome::Error { message } if message.contains("not run")), "{outcomes:?}");
    assert_eq!(outcomes[1], ("in time".into(), HookOutcome::Ok));
    assert_eq!(bench.order(), ["in time"]);
}

#[test]
#[should_panic(expected = "running is none")]
fn a_hook_of_a_phase_outside_the_stop_is_refused() {
    Bench::default().add(Phase::Running, "never", ok);
}

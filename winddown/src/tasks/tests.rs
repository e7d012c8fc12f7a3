use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn names(tasks: &Tasks) -> Vec<String> {
    tasks.oldest().into_iter().map(|task| task.name).collect()
}

#[tokio::test(start_paused = true)]
async fn c33_task_is_told_at_t0_and_awaited() {
    let tasks = Tasks::new(Tokens::default());
    tasks.spawn("settle orders".into(), |task| async move { task.draining().await });
    assert_eq!(names(&tasks), ["settle orders"]);
    assert!(tokio::time::timeout(secs(60), tasks.finished()).await.is_err());
    tasks.tokens.draining.cancel();
    tasks.finished().await;
    assert_eq!(tasks.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_counted_named_and_gone() {
    let tasks = Tasks::new(Tokens::default());
    tasks.spawn("bad".into(), |_| async { panic!("no such row") });
    tasks.finished().await;
    let panic = TaskPanic { name: "bad".into(), message: "no such row".into() };
    assert_eq!(tasks.panics(), (1, vec![panic]));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_task_is_named_and_aborted() {
    let tasks = Tasks::new(Tokens::default());
    tasks.spawn("stuck".into(), |_| std::future::pending());
    assert_eq!(names(&tasks), ["stuck"]);
    tasks.abort();
    tasks.finished().await;
}

#[tokio::test(start_paused = true)]
async fn of_many_tasks_the_oldest_are_named_and_all_are_counted() {
    let tasks = Tasks::new(Tokens::default());
    for i in 0..1_000 {
        tasks.spawn(format!("task {i}"), |_| std::future::pending());
    }
    assert_eq!(tasks.len(), 1_000);
    assert_eq!(names(&tasks), (0..NAMED).map(|i| format!("task {i}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_periodic_job_comes_at_once_and_then_each_period_until_t0() {
    let (tasks, turns) = (Tasks::new(Tokens::default()), Arc::new(AtomicU64::new(0)));
    let counted = turns.clone();
    tasks.every("tick".into(), secs(10), move |_| {
        counted.fetch_add(1, Relaxed);
        std::future::ready(())
    });
    tokio::time::sleep(secs(35)).await;
    assert_eq!(turns.load(Relaxed), 4, "at 0, 10, 20 and 30 s");
    tasks.tokens.draining.cancel();
    tasks.finished().await;
    assert_eq!(turns.load(Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn c33_turn_of_a_periodic_job_that_has_begun_is_finished() {
    let (tasks, done) = (Tasks::new(Tokens::default()), Arc::new(AtomicU64::new(0)));
    let counted = done.clone();
    tasks.every("sync".into(), secs(10), move |_| {
        let done = counted.clone();
        async move {
            tokio::time::sleep(secs(4)).await;
            done.fetch_add(1, Relaxed);
        }
    });
    tokio::time::sleep(secs(1)).await;
    tasks.tokens.draining.cancel();
    tasks.finished().await;
    assert_eq!(done.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_panics_is_counted_and_the_next_one_comes() {
    let (tasks, turns) = (Tasks::new(Tokens::default()), Arc::new(AtomicU64::new(0)));
    let counted = turns.clone();
    tasks.every("sweep".into(), secs(1), move |_| {
        let turn = counted.fetch_add(1, Relaxed);
        async move { assert_ne!(turn, 0, "the first turn fails") }
    });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(turns.load(Relaxed), 3);
    assert_eq!(tasks.panics().0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_panics_before_it_returns_a_future_is_a_turn_that_panics() {
    let (tasks, turns) = (Tasks::new(Tokens::default()), Arc::new(AtomicU64::new(0)));
    let counted = turns.clone();
    tasks.every("upkeep".into(), secs(1), move |_| {
        assert_ne!(counted.fetch_add(1, Relaxed), 0, "the first turn fails");
        std::future::ready(())
    });
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(turns.load(Relaxed), 3);
    assert_eq!(tasks.panics().0, 1);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_the_turn_under_way_too() {
    struct Held(Arc<AtomicU64>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let (tasks, dropped) = (Tasks::new(Tokens::default()), Arc::new(AtomicU64::new(0)));
    let held = dropped.clone();
    tasks.every("stuck".into(), secs(1), move |_| {
        let held = Held(held.clone());
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    });
    tokio::time::sleep(secs(1)).await;
    tasks.abort();
    tasks.finished().await;
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(Relaxed), 1);
}

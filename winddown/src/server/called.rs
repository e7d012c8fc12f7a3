//! A future that is polled again only when it has called.
//!
//! hyper wakes a connection's task several times for a request, and beside hyper the task waits for news of the stop, which
//! come once. To ask a token whether there are any takes two locks, one of them shared with other connections. So such a
//! wait has a waker of its own, and is left alone until that is used.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use pin_project_lite::pin_project;

use crate::sync::lock;

pin_project! {
    /// See the module.
    #[derive(Debug)]
    pub(super) struct WhenCalled<F> {
        #[pin]
        future: F,
        call: Arc<Call>,
        // `Call`'s own, kept so that a poll makes none.
        caller: Waker,
        // Who is to be woken. Whoever else polls is taken down instead.
        task: Option<Waker>,
    }
}

impl<F> WhenCalled<F> {
    pub(super) fn new(future: F) -> Self {
        let call = Arc::new(Call { made: AtomicBool::new(false), task: Mutex::new(Waker::noop().clone()) });
        Self { future, caller: call.clone().into(), call, task: None }
    }
}

impl<F: Future> Future for WhenCalled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
            lock(&this.call.task).clone_from(cx.waker());
            *this.task = Some(cx.waker().clone());
        } else if !this.call.made.load(Relaxed) {
            return Poll::Pending;
        }
        // Before the future is polled: a call that comes meanwhile is another one.
        this.call.made.swap(false, AcqRel);
        this.future.poll(&mut Context::from_waker(this.caller))
    }
}

#[derive(Debug)]
struct Call {
    made: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task is woken, so that it sees it; `Release`, with the swap, for what the call is about.
        self.made.store(true, Release);
        let task = lock(&self.task).clone();
        task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Relaxed)
        }
    }

    #[test]
    fn it_is_polled_once_and_then_when_it_has_called() {
        let (news, mut heard) = oneshot::channel();
        let mut polls = 0;
        let mut wait = Box::pin(WhenCalled::new(poll_fn(|cx| {
            polls += 1;
            Pin::new(&mut heard).poll(cx)
        })));
        let task = Arc::new(Woken::default());
        let waker = task.clone().into();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..3 {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(task.times(), 0);

        news.send(7).expect("somebody waits");
        assert_eq!(task.times(), 1);
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
        drop(wait);
        assert_eq!(polls, 2);
    }

    #[test]
    fn whoever_polls_last_is_woken() {
        let (news, heard) = oneshot::channel();
        let mut wait = Box::pin(WhenCalled::new(heard));
        let [first, second] = [(); 2].map(|()| Arc::new(Woken::default()));
        for task in [&first, &second] {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&task.clone().into())).is_pending());
        }

        news.send(()).expect("somebody waits");
        assert_eq!((first.times(), second.times()), (0, 1));
        // Also where the task that is asked now is not the one that was woken.
        assert!(wait.as_mut().poll(&mut Context::from_waker(&first.into())).is_ready());
    }
}

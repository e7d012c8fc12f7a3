//! The body of a request.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// An upload is sent in this many frames.
const FRAMES: usize = 8;

/// A request's body: nothing, or a payload in frames with pauses in between.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    left: Bytes,
    frame: usize,
    pause: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    pub(crate) fn new(payload: Bytes, pause: Duration) -> Self {
        Self { frame: payload.len().div_ceil(FRAMES), left: payload, pause, sleep: None }
    }

    /// A payload in one frame.
    pub(crate) fn at_once(payload: Bytes) -> Self {
        Self { frame: payload.len(), left: payload, ..Self::default() }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
        }
        let until = Instant::now() + self.pause;
        let size = self.frame.min(self.left.len());
        let frame = self.left.split_to(size);
        self.sleep = (!self.pause.is_zero() && !self.left.is_empty()).then(|| Box::pin(sleep_until(until)));
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_is_eight_frames_with_pauses_in_between_and_all_of_the_payload() {
        let payload: Bytes = (0..=255).collect();
        let mut upload = Upload::new(payload.clone(), Duration::from_millis(5));
        assert_eq!(upload.size_hint().exact(), Some(256));
        let (begun, mut frames, mut sent) = (Instant::now(), 0, Vec::new());
        while let Some(frame) = upload.frame().await {
            frames += 1;
            sent.extend(frame.expect("an upload does not fail").into_data().expect("it has no trailers"));
        }
        assert_eq!((frames, sent), (8, payload.to_vec()));
        assert_eq!(begun.elapsed(), Duration::from_millis(35));
        assert!(upload.is_end_stream() && Upload::default().is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_that_is_sent_at_once_is_one_frame() {
        let payload = Bytes::from_static(b"tea, twice");
        let mut upload = Upload::at_once(payload.clone());
        let frame = upload.frame().await.expect("there is one").expect("an upload does not fail");
        assert_eq!(frame.into_data().expect("it has no trailers"), payload);
        assert!(upload.is_end_stream());
    }
}

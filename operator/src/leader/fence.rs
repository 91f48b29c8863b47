//! A fence in the client of Kubernetes: writes are refused unless this process leads at that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{Method, Request};
use tower::{BoxError, Layer, Service};

/// Whether this process may write. Clones are the same fence.
#[derive(Clone, Debug)]
pub struct Fence {
    // Milliseconds from `start` until which it is open.
    until: Arc<AtomicU64>,
    start: Instant,
}

/// A write was refused because this process does not lead, or leads no longer.
#[derive(Debug, thiserror::Error)]
#[error("this operator does not lead: nothing is written")]
pub struct Closed;

impl Fence {
    /// A fence that is never closed: there is no election.
    #[must_use]
    pub fn open() -> Self {
        let fence = Self::closed();
        fence.until.store(u64::MAX, Ordering::SeqCst);
        fence
    }

    /// A fence that nobody has opened yet.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            until: Arc::default(),
            start: Instant::now(),
        }
    }

    pub(super) fn open_until(&self, until: Instant) {
        let until = until.saturating_duration_since(self.start).as_millis();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.until.store(until, Ordering::SeqCst);
    }

    pub(super) fn close(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether it is open at this moment.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let until = Duration::from_millis(self.until.load(Ordering::SeqCst));
        self.start.elapsed() < until
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            inner,
            fence: self.clone(),
        }
    }
}

/// A client behind a [`Fence`].
#[derive(Clone, Debug)]
pub struct Fenced<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() != Method::GET && !self.fence.is_open() {
            return Box::pin(async { Err(Closed.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct Answers;

    impl Service<Request<()>> for Answers {
        type Response = ();
        type Error = Infallible;
        type Future = std::future::Ready<Result<(), Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }

    fn sends(fence: &Fence, method: Method) -> bool {
        let mut request = Request::new(());
        *request.method_mut() = method;
        futures::executor::block_on(fence.layer(Answers).call(request)).is_ok()
    }

    #[test]
    fn only_a_leader_writes_and_everybody_reads() {
        let fence = Fence::closed();
        assert!(sends(&fence, Method::GET));
        assert!(!sends(&fence, Method::PATCH));
        fence.open_until(Instant::now() + Duration::from_secs(60));
        assert!(sends(&fence, Method::PATCH));
        assert!(sends(&fence, Method::DELETE));
        fence.close();
        assert!(!sends(&fence, Method::POST));
        fence.open_until(Instant::now());
        assert!(!sends(&fence, Method::PUT), "a deadline that is over");
        assert!(sends(&Fence::open(), Method::PUT));
    }
}

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

pin_project_lite::pin_project! {
    /// The body of a response that went through [`CacheLayer`](super::CacheLayer).
    pub struct CachedBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        /// As returned by the handler.
        Untouched { #[pin] body: B },
        /// Read to compute its tag.
        Whole { bytes: Option<Bytes>, trailers: Option<HeaderMap> },
        /// Body of a response to HEAD.
        Head,
    }
}

impl<B> CachedBody<B> {
    pub(super) fn untouched(body: B) -> Self {
        Self {
            kind: Kind::Untouched { body },
        }
    }

    pub(super) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            kind: Kind::Whole { bytes, trailers },
        }
    }

    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new(), None)
    }

    /// Returns the body of a response to HEAD: empty, but without a
    /// length of 0, since the headers alone describe the body of GET.
    pub(super) fn head() -> Self {
        Self { kind: Kind::Head }
    }
}

impl<B: Body<Data = Bytes>> Body for CachedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Untouched { body } => body.poll_frame(context),
            KindProjection::Whole { bytes, trailers } => {
                let data = bytes.take().map(Frame::data);
                let next = data.or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(next.map(Ok))
            }
            KindProjection::Head => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Whole { bytes, trailers } => bytes.is_none() && trailers.is_none(),
            Kind::Head => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Whole { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Head => SizeHint::default(),
        }
    }
}

impl<B> std::fmt::Debug for CachedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedBody").finish_non_exhaustive()
    }
}

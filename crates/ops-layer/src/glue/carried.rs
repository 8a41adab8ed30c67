/// Value without a context to carry along.
#[derive(Clone, Debug)]
pub(crate) struct Carried<T>(T);

impl<T> Carried<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    pub(crate) fn in_scope<R>(self, work: impl FnOnce(T) -> R) -> R {
        work(self.0)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Carried<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use pin_project_lite::pin_project;

use crate::Value;

pub(crate) type Fields = Arc<Vec<(Cow<'static, str>, Value)>>;

thread_local! {
    static CURRENT: RefCell<Fields> = RefCell::default();
}

/// Binds a field for every line of this thread or task from here on; [`bind_context!`](macro@crate::bind_context) binds several.
pub fn bind_context(key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
    let (key, value) = (key.into(), value.into());
    change(
        |fields| match fields.iter_mut().find(|(known, _)| *known == key) {
            Some(slot) => slot.1 = value,
            None => fields.push((key, value)),
        },
    );
}

/// Takes fields away; a missing one is none.
pub fn unbind_context<'a>(keys: impl IntoIterator<Item = &'a str>) {
    let keys: Vec<&str> = keys.into_iter().collect();
    change(|fields| fields.retain(|(key, _)| !keys.contains(&key.as_ref())));
}

/// Takes all fields of this thread or task away.
pub fn clear_context() {
    change(Vec::clear);
}

fn change(change: impl FnOnce(&mut Vec<(Cow<'static, str>, Value)>)) {
    let _ = CURRENT.try_with(|current| change(Arc::make_mut(&mut current.borrow_mut())));
}

/// The fields bound now.
pub(crate) fn current() -> Fields {
    CURRENT
        .try_with(|current| Arc::clone(&current.borrow()))
        .unwrap_or_default()
}

/// While it lives, these fields are the thread's; dropping it puts back what was there and keeps what was bound.
#[derive(Debug)]
pub struct Scope<'a> {
    fields: &'a mut Fields,
}

impl<'a> Scope<'a> {
    pub(crate) fn enter(fields: &'a mut Fields) -> Self {
        swap(fields);
        Self { fields }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        swap(self.fields);
    }
}

fn swap(fields: &mut Fields) {
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), fields));
}

pin_project! {
    /// A future with a context of its own: made by [`with_log_context`].
    #[derive(Debug)]
    pub struct WithLogContext<F> {
        #[pin]
        inner: F,
        fields: Fields,
    }
}

/// Gives a future a context of its own, which begins as a copy of the current one and follows it across threads.
pub fn with_log_context<F: Future>(future: F) -> WithLogContext<F> {
    WithLogContext {
        inner: future,
        fields: current(),
    }
}

impl<F: Future> Future for WithLogContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = Scope::enter(this.fields);
        this.inner.poll(cx)
    }
}

/// Lets work for another thread run under a copy of the current context.
pub fn carry<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let mut fields = current();
    move || {
        let _scope = Scope::enter(&mut fields);
        work()
    }
}

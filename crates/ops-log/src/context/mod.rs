pub(crate) mod capture;
pub(crate) mod carry;
pub(crate) mod late;
pub(crate) mod owner;

use std::borrow::Cow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::Value;
use crate::context::capture::Capture;
use crate::context::late::LateBuffer;
use crate::context::owner::{BareTasks, Owner};
use crate::render::bound::{BoundFields, bind};

/// Bound fields and capture of a thread or task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    pub(crate) bound: Option<Arc<BoundFields>>,
    pub(crate) capture: Option<Arc<Capture>>,
    /// Buffer for lines of the request that are below the level.
    pub(crate) late: Option<Arc<LateBuffer>>,
    pub(crate) owner: Owner,
}

impl Context {
    fn is_empty(&self) -> bool {
        self.bound.is_none() && self.capture.is_none() && self.late.is_none()
    }
}

thread_local! {
    static CURRENT: RefCell<Context> = const { RefCell::new(Context { bound: None, capture: None, late: None, owner: Owner::NOBODY }) };
}

/// Contexts of tasks without a scope.
static BARE_TASKS: BareTasks<Context> = BareTasks::new();

/// Returns the context of the caller; a task never gets the context of the thread or of another task.
pub(crate) fn current() -> Context {
    with_current(Context::clone).unwrap_or_default()
}

/// Calls `look` with the current context in place, without a copy; `look` must not bind fields.
#[inline]
pub(crate) fn with_current<R>(look: impl FnOnce(&Context) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| {
            let current = current.borrow();
            match current.owner.is_here() {
                true => Some(look(&current)),
                false => with_bare(look),
            }
        })
        .ok()
        .flatten()
}

/// Reads the context of a bare task. A separate function, so that lines of scopes and threads do not pay for it.
#[cold]
#[inline(never)]
fn with_bare<R>(look: impl FnOnce(&Context) -> R) -> Option<R> {
    BARE_TASKS.current().map(|context| look(&context))
}

/// Returns `true` if lines of this thread or task are captured.
pub(crate) fn is_captured() -> bool {
    CURRENT
        .try_with(|current| {
            let current = current.borrow();
            current.capture.is_some() && current.owner.is_here()
        })
        .unwrap_or_default()
}

/// Binds a field to every following line of this thread or task;
/// [`bind_context!`](macro@crate::bind_context) binds several.
pub fn bind_context(key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
    bind_all([(key.into(), value.into())]);
}

#[doc(hidden)]
pub fn bind_all<const N: usize>(fields: [(Cow<'static, str>, Value); N]) {
    change(|pairs| {
        for (key, value) in fields {
            bind(pairs, key, value);
        }
    });
}

/// Removes the fields; unbound keys are ignored.
pub fn unbind_context<'a>(keys: impl IntoIterator<Item = &'a str>) {
    let keys: Vec<&str> = keys.into_iter().collect();
    change(|pairs| pairs.retain(|(key, _)| !keys.contains(&key.as_ref())));
}

/// Removes all fields of this thread or task.
pub fn clear_context() {
    change(Vec::clear);
}

/// Returns the value of a bound field.
pub fn context_value(key: &str) -> Option<Value> {
    let bound = current().bound?;
    let (_, value) = bound.pairs.iter().find(|(known, _)| known == key)?;
    Some(value.clone())
}

fn change(change: impl FnOnce(&mut Vec<(Cow<'static, str>, Value)>)) {
    let mut context = current();
    let mut pairs = context
        .bound
        .map_or_else(Vec::new, |bound| bound.pairs.clone());
    change(&mut pairs);
    context.bound = (!pairs.is_empty()).then(|| BoundFields::new(pairs));
    replace(context);
}

/// Replaces the current context.
fn replace(mut context: Context) {
    // the previous values are dropped after the borrow ends: their `Drop` may log
    let _before = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        context.owner = current.owner;
        if !current.owner.is_here() {
            let is_empty = context.is_empty();
            match BARE_TASKS.keep(context, is_empty) {
                Ok(before) => return (None, before),
                Err(given_back) => context = given_back,
            }
            context.owner = Owner::NOBODY;
        }
        (Some(std::mem::replace(&mut *current, context)), Vec::new())
    });
}

/// Guard that makes a context the current one of the thread;
/// dropping it restores the previous one and keeps the bound fields.
#[derive(Debug)]
#[must_use = "the context is left when the guard is dropped"]
pub struct Scope<'a> {
    context: &'a mut Context,
}

impl<'a> Scope<'a> {
    pub(crate) fn enter(context: &'a mut Context) -> Self {
        context.owner = Owner::of_scope();
        swap(context);
        Self { context }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        swap(self.context);
    }
}

fn swap(context: &mut Context) {
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), context));
}

/// Guard that binds fields until it is dropped, then restores the previous
/// values of these keys; returned by [`context_scope!`](crate::context_scope).
#[derive(Debug)]
#[must_use = "the fields are unbound when the guard is dropped"]
pub struct ContextScope {
    before: Vec<(Cow<'static, str>, Option<Value>)>,
    not_send: PhantomData<*const ()>,
}

impl ContextScope {
    #[doc(hidden)]
    pub fn new<const N: usize>(fields: [(Cow<'static, str>, Value); N]) -> Self {
        let before = fields
            .iter()
            .map(|(key, _)| (key.clone(), context_value(key)))
            .collect();
        bind_all(fields);
        Self {
            before,
            not_send: PhantomData,
        }
    }
}

impl Drop for ContextScope {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.before);
        change(|pairs| {
            for (key, value) in before {
                match value {
                    Some(value) => bind(pairs, key, value),
                    None => pairs.retain(|(known, _)| *known != key),
                }
            }
        });
    }
}

/// Fields of an event, in call order: `k = v`, `k = &error`, `k = %display`, `k = ?debug`, `"a.key" = v`.
#[doc(hidden)]
#[macro_export]
macro_rules! __fields {
    () => { () };
    ($key:ident = $($rest:tt)+) => { $crate::__field!((::core::stringify!($key)) $($rest)+) };
    ($key:literal = $($rest:tt)+) => { $crate::__field!(($key) $($rest)+) };
}

/// One field, followed by the others.
#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    (($key:expr) % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__list!($key, $crate::__private::Formatted(::core::format_args!("{}", $value)), $($($rest)*)?)
    };
    (($key:expr) ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__list!($key, $crate::__private::Formatted(::core::format_args!("{:?}", $value)), $($($rest)*)?)
    };
    (($key:expr) $value:expr $(, $($rest:tt)*)?) => {
        $crate::__list!($key, (&&&&$crate::__private::AutorefValue(&$value)).encode_kind(), $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list {
    ($key:expr, $value:expr, $($rest:tt)*) => {
        $crate::__private::List(
            const { &$crate::__private::StaticKey::new($key) },
            $value,
            $crate::__fields!($($rest)*),
        )
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __write {
    ($logger:expr, $level:expr, $event:expr, ($($fields:tt)*)) => {{
        #[allow(unused_imports)]
        use $crate::__private::{ViaBacktrace as _, ViaError as _, ViaNative as _, ViaSlog as _};
        // fields are evaluated first: a value may be awaited, and a future that holds a record is not `Send`
        $crate::Logger::__log(
            $logger,
            &$crate::__fields!($($fields)*),
            &$crate::__private::slog::Record::new(
                &$crate::__private::slog::record_static!($level.slog(), ""),
                &::core::format_args!("{}", $event),
                $crate::__private::slog::b!(),
            ),
        )
    }};
}

/// Writes a line of a level: `log!(Level::Info, "event", k = v)`, or with a logger before the event.
#[macro_export]
macro_rules! log {
    ($level:expr, $event:literal $(, $($fields:tt)*)?) => {{
        let level: $crate::Level = $level;
        if $crate::__private::root_enabled(level, ::core::module_path!()) {
            $crate::__write!($crate::__private::root(), level, $event, ($($($fields)*)?));
        }
    }};
    ($level:expr, $logger:expr, $event:expr $(, $($fields:tt)*)?) => {{
        let level: $crate::Level = $level;
        let logger: &$crate::Logger = &$logger;
        if logger.__enabled(level, ::core::module_path!()) {
            $crate::__write!(logger, level, $event, ($($($fields)*)?));
        }
    }};
}

macro_rules! levels {
    ($d:tt $($name:ident $level:ident $doc:literal;)+) => {$(
        #[doc = $doc]
        #[macro_export]
        macro_rules! $name {
            ($d($d args:tt)*) => { $crate::log!($crate::Level::$level, $d($d args)*) };
        }
    )+};
}

levels! { $
    trace Trace "Writes a line of level `trace`.";
    debug Debug "Writes a line of level `debug`.";
    info Info "Writes a line of level `info`: `info!(\"user_logged_in\", username = name, ip = %address)`.";
    warn Warning "Writes a line of level `warning`.";
    error Error "Writes a line of level `error`.";
    crit Critical "Writes a line of level `critical`.";
}

/// Keys and owned values: `k = v`, `k = &error`, `k = %display`, `k = ?debug`.
#[doc(hidden)]
#[macro_export]
macro_rules! __bindings {
    ([$($done:tt)*]) => { [$($done)*] };
    ([$($done:tt)*] $key:ident = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__bindings!([$($done)* $crate::__binding!($key, ::std::format!("{}", $value)),] $($($rest)*)?)
    };
    ([$($done:tt)*] $key:ident = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__bindings!([$($done)* $crate::__binding!($key, ::std::format!("{:?}", $value)),] $($($rest)*)?)
    };
    ([$($done:tt)*] $key:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__bindings!([$($done)* $crate::__binding!($key, $value),] $($($rest)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __binding {
    ($key:ident, $value:expr) => {
        (
            $crate::__private::Cow::Borrowed(
                const { $crate::__private::StaticKey::new(::core::stringify!($key)).name() },
            ),
            $crate::Value::from($value),
        )
    };
}

/// Binds fields to every line of this thread or task: `bind_context!(request_id = "req-123", user_id = 456)`.
#[macro_export]
macro_rules! bind_context {
    ($($fields:tt)+) => { $crate::bind_all($crate::__bindings!([] $($fields)+)) };
}

/// Binds fields until the returned guard is dropped, then restores the
/// previous ones: `let _scope = context_scope!(phase = "analyze");`.
#[macro_export]
macro_rules! context_scope {
    ($($fields:tt)+) => { $crate::__private::ContextScope::new($crate::__bindings!([] $($fields)+)) };
}

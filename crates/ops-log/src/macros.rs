/// One field: `k = v`, `k = %display`, `k = ?debug`.
#[doc(hidden)]
#[macro_export]
macro_rules! __fields {
    ([$($done:tt)*]) => { &[$($done)*] };
    ([$($done:tt)*] $key:ident = % $value:expr $(, $($rest:tt)*)?) => {
        $crate::__fields!([$($done)* (stringify!($key), $crate::Value::Text(::std::format!("{}", $value))),] $($($rest)*)?)
    };
    ([$($done:tt)*] $key:ident = ? $value:expr $(, $($rest:tt)*)?) => {
        $crate::__fields!([$($done)* (stringify!($key), $crate::Value::Text(::std::format!("{:?}", $value))),] $($($rest)*)?)
    };
    ([$($done:tt)*] $key:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__fields!([$($done)* (stringify!($key), $crate::Value::from($value)),] $($($rest)*)?)
    };
}

/// Writes a line of a level: `log!(Level::Info, "event", k = v)`, or with a logger before the event.
#[macro_export]
macro_rules! log {
    ($level:expr, $event:literal $(, $($fields:tt)*)?) => {
        if $crate::is_enabled($level) {
            $crate::Logger::root().log($level, $event, $crate::__fields!([] $($($fields)*)?));
        }
    };
    ($level:expr, $logger:expr, $event:expr $(, $($fields:tt)*)?) => {
        if $crate::is_enabled($level) {
            $logger.log($level, $event, $crate::__fields!([] $($($fields)*)?));
        }
    };
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

/// Binds fields for every line of this thread or task: `bind_context!(request_id = "req-123", user_id = 456)`.
#[macro_export]
macro_rules! bind_context {
    ($($key:ident = $value:expr),+ $(,)?) => {
        $($crate::bind_context(stringify!($key), $value);)+
    };
}

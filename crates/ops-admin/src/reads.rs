//! Parts of the document that are requested individually, with conditions.

use axum::Json;
#[cfg(feature = "trace")]
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
#[cfg(feature = "trace")]
use http::StatusCode;
use http::Uri;
use serde::Serialize;

use crate::conditions::{Conditions, Refused, refused};
#[cfg(feature = "log")]
use crate::state::log;
#[cfg(feature = "metrics")]
use crate::state::metrics::{self, Named};
#[cfg(feature = "trace")]
use crate::state::trace;

fn answer<T: Serialize>(collected: Result<T, Refused>) -> Response {
    match collected {
        Ok(collected) => Json(collected).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// `GET /api/tiles?window=`: returns all lines over a window.
#[cfg(feature = "metrics")]
pub(crate) async fn tiles(uri: Uri) -> Response {
    answer(window(&uri).map(metrics::tiles))
}

/// `GET /api/routes?window=`: returns the requests of each route in a window.
#[cfg(feature = "metrics")]
pub(crate) async fn routes(uri: Uri) -> Response {
    answer(window(&uri).map(metrics::routes))
}

#[cfg(feature = "metrics")]
fn window(uri: &Uri) -> Result<Named, Refused> {
    let conditions = Conditions::read(uri, &["window"])?;
    let name = conditions.text("window").unwrap_or_else(|| "5m".to_owned());
    Named::find(&name).ok_or_else(|| refused(&format!("{}\n", Named::ACCEPTED)))
}

/// `GET /api/lines?level=&text=&trace_id=&limit=`: returns the newest lines, newest first.
#[cfg(feature = "log")]
pub(crate) async fn lines(uri: Uri) -> Response {
    let wanted = || {
        let conditions = Conditions::read(&uri, &["level", "text", "trace_id", "limit"])?;
        let level = conditions.text("level").map(|text| text.parse());
        let wanted = log::Wanted {
            level: level
                .transpose()
                .map_err(|error: ops_log::ParseLevelError| refused(&format!("{error}\n")))?,
            text: conditions.text("text"),
            trace_id: conditions.text("trace_id"),
        };
        Ok((wanted, conditions.limit()?))
    };
    answer(wanted().map(|(wanted, limit)| log::lines(&wanted, limit)))
}

/// `GET /api/traces?status=&route=&min_ms=&limit=`: returns the newest traces, newest first.
#[cfg(feature = "trace")]
pub(crate) async fn traces(uri: Uri) -> Response {
    let wanted = || {
        let conditions = Conditions::read(&uri, &["status", "route", "min_ms", "limit"])?;
        let status = conditions.text("status");
        if !status.as_deref().is_none_or(trace::Wanted::is_status) {
            return Err(refused(
                "status must be error, slow, or a status such as 404 or 4xx\n",
            ));
        }
        let wanted = trace::Wanted {
            status,
            route: conditions.text("route"),
            min_us: conditions
                .number("min_ms")?
                .map(|ms: u64| ms.saturating_mul(1000)),
        };
        Ok((wanted, conditions.limit()?))
    };
    answer(wanted().map(|(wanted, limit)| trace::list(&wanted, limit)))
}

/// Response if a trace is unknown. Spans are shown once the exporter has
/// taken them from its queue, whether or not the collector accepts them.
#[cfg(feature = "trace")]
const NO_TRACE: &str = "trace not found, not exported yet, or not kept: a trace appears when its spans are exported, which is \
     within a second unless OTEL_BSP_SCHEDULE_DELAY is longer or the collector is slow\n";

/// `GET /api/traces/{id}`: returns a trace with its spans, their attributes and its lines.
#[cfg(feature = "trace")]
pub(crate) async fn trace(Path(id): Path<String>) -> Response {
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refused("invalid trace id: expected 32 hexadecimal digits\n").into_response();
    }
    match trace::find(&id.to_ascii_lowercase()) {
        Some(detail) => Json(detail).into_response(),
        None => (StatusCode::NOT_FOUND, NO_TRACE).into_response(),
    }
}

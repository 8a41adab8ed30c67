//! Headers that carry the context, chosen by `OTEL_PROPAGATORS`.

/// Chosen header formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Formats {
    /// `traceparent`, `tracestate`.
    pub(crate) trace_context: bool,
    /// `baggage`.
    pub(crate) baggage: bool,
    /// `b3`.
    pub(crate) b3: bool,
    /// `x-b3-traceid` and the other `x-b3-*` headers.
    pub(crate) b3_multi: bool,
    /// `x-amzn-trace-id`.
    pub(crate) xray: bool,
}

impl Default for Formats {
    fn default() -> Self {
        Self {
            trace_context: true,
            ..Self::NONE
        }
    }
}

impl Formats {
    pub(crate) const NONE: Self = Self {
        trace_context: false,
        baggage: false,
        b3: false,
        b3_multi: false,
        xray: false,
    };
    pub(crate) const ACCEPTED: &str = "none, or any of tracecontext, baggage, b3, b3multi, xray";

    /// Parses a list in lower case. The second value is `false` if a name is unknown or `none` is combined with others;
    /// without a known name the default is used.
    pub(crate) fn parse(list: &str) -> (Self, bool) {
        let (mut formats, mut none, mut known) = (Self::NONE, false, true);
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "tracecontext" => formats.trace_context = true,
                "baggage" => formats.baggage = true,
                "b3" => formats.b3 = true,
                "b3multi" => formats.b3_multi = true,
                "xray" => formats.xray = true,
                "none" => none = true,
                _ => known = false,
            }
        }
        let some = formats != Self::NONE;
        if !some && !none {
            formats = Self::default();
        }
        (formats, known && !(some && none))
    }

    /// Returns the names of the chosen formats.
    pub(crate) fn names(self) -> String {
        let all = [
            (self.trace_context, "tracecontext"),
            (self.baggage, "baggage"),
            (self.b3, "b3"),
            (self.b3_multi, "b3multi"),
            (self.xray, "xray"),
        ];
        let chosen: Vec<&str> = all
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| *name)
            .collect();
        if chosen.is_empty() {
            "none".to_owned()
        } else {
            chosen.join(",")
        }
    }
}

use crate::{Config, Error};

/// Traces, whose ids every log line carries from here on.
pub(crate) fn trace(config: &Config) -> Result<ops_trace::Tracer, Error> {
    let mut settings = ops_trace::Config::new(config.service_name.as_str());
    if let Some([version, ..]) = config.build {
        settings = settings.service_version(version);
    }
    let tracer = ops_trace::init(settings).map_err(|error| Error::new("trace", error))?;
    #[cfg(feature = "log")]
    {
        ops_log::set_trace_id_source(|| {
            let ids = ops_trace::current_span_ids()?;
            Some(ops_log::TraceIds {
                trace_id: ids.trace_id,
                span_id: ids.span_id,
            })
        });
        ops_trace::set_attribute_filter(|_, text| ops_log::redacted(text));
    }
    Ok(tracer)
}

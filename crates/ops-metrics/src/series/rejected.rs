use crate::builtin::ops_metrics_rejected_total;

crate::labels! {
    /// Why a value was not counted.
    pub enum Reason {
        NonFinite = "non_finite",
        Negative = "negative",
        Labels = "labels",
    }
}

#[cold]
pub(crate) fn rejected(metric: &'static str, reason: Reason) {
    ops_metrics_rejected_total(metric, reason).inc();
}

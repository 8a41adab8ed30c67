use crate::catalog::ops_metrics_rejected_total;

#[cold]
pub(crate) fn rejected(metric: &'static str) {
    ops_metrics_rejected_total(metric).inc();
}

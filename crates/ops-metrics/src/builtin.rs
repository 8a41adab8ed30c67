use http::Method;

use crate::series::rejected::RejectReason;

crate::labels! {
    /// Reason for which a scrape failed, or was answered without the values of a hook of [`before_scrape`](crate::before_scrape).
    pub enum ScrapeFailure {
        Busy = "busy",
        Hook = "hook",
        Timeout = "timeout",
        Panic = "panic",
        Thread = "thread",
    }
}

crate::labels! {
    /// Status of a gRPC call.
    pub enum GrpcStatus {
        Ok = "OK",
        Cancelled = "CANCELLED",
        Unknown = "UNKNOWN",
        InvalidArgument = "INVALID_ARGUMENT",
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        NotFound = "NOT_FOUND",
        AlreadyExists = "ALREADY_EXISTS",
        PermissionDenied = "PERMISSION_DENIED",
        ResourceExhausted = "RESOURCE_EXHAUSTED",
        FailedPrecondition = "FAILED_PRECONDITION",
        Aborted = "ABORTED",
        OutOfRange = "OUT_OF_RANGE",
        Unimplemented = "UNIMPLEMENTED",
        Internal = "INTERNAL",
        Unavailable = "UNAVAILABLE",
        DataLoss = "DATA_LOSS",
        Unauthenticated = "UNAUTHENTICATED",
    }
}

crate::define! {
    /// The built-in metrics as data.
    pub catalog CATALOG;

    /// Total HTTP requests
    pub counter http_requests_total { route: &'static str, method: Method, status: u16 }
    /// HTTP request latency in seconds
    pub histogram http_request_latency = "http_request_latency_seconds" { route: &'static str, method: Method }
    /// Duration of streamed HTTP responses in seconds
    pub histogram http_stream_duration = "http_stream_duration_seconds" buckets [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0] { route: &'static str, method: Method }
    /// HTTP requests that failed although their status is not a 5xx: after the head, as a gRPC call, or with a status from 600 on
    pub counter http_response_failures_total {
        route: &'static str,
        method: Method,
        error_type: &'static str = [
            "body_error", "panic", "cut_off", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
            "missing_status",
        ],
    }
    /// HTTP requests being served
    pub gauge http_requests_in_flight {}

    /// Duration of HTTP requests in seconds, under the name of OpenTelemetry's conventions, if that is switched on
    pub histogram http_server_request_duration = "http_server_request_duration_seconds" buckets [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0] { http_request_method: Method, http_route: &'static str, http_response_status_code: u16 }

    /// Outgoing HTTP requests, by the status of the response or the kind of the error
    pub counter http_client_requests_total { host: &'static str, method: Method, status: &'static str }
    /// Time to the head of the response to outgoing HTTP requests in seconds
    pub histogram http_client_request_latency_seconds { host: &'static str, method: Method }

    /// Duration of incoming gRPC calls in seconds, under the name of OpenTelemetry's conventions
    pub histogram rpc_server_call_duration_seconds buckets [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0] {
        rpc_system_name: &'static str = ["grpc"],
        rpc_method: &'static str,
        rpc_status_code: GrpcStatus,
        error_type: &'static str = [
            "", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
            "panic", "body_error", "service_error", "missing_status", "cut_off",
        ],
    }
    /// Duration of outgoing gRPC calls in seconds, under the name of OpenTelemetry's conventions
    pub histogram rpc_client_call_duration_seconds buckets [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0] {
        rpc_system_name: &'static str = ["grpc"],
        rpc_method: &'static str,
        rpc_status_code: GrpcStatus,
        error_type: &'static str = [
            "", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
            "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
            "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
            "body_error", "missing_status", "connection_refused", "connection_reset", "connection_aborted",
            "not_connected", "broken_pipe", "unexpected_eof", "timeout", "host_unreachable",
            "network_unreachable", "network_down", "address_not_available", "permission_denied", "host_not_found",
            "resolver_unavailable", "too_many_open_files",
        ],
        server_address: &'static str = [""],
        server_port: &'static str = [""],
    }

    /// Query execution time in seconds
    pub histogram duckdb_query_seconds buckets [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0] { query_type: &'static str }
    /// Total queries executed
    pub counter duckdb_query_total { query_type: &'static str }
    /// Total queries that failed
    pub counter duckdb_query_errors_total { query_type: &'static str }

    /// Cache hit count
    pub counter cache_hits_total { cache_type: &'static str = ["query", "http"] }
    /// Cache miss count
    pub counter cache_misses_total { cache_type: &'static str = ["query", "http"] }
    /// Cache size in bytes
    pub gauge cache_size_bytes { cache_type: &'static str = ["query", "http"] }
    /// Cache entries removed
    pub counter cache_evictions_total {
        cache_type: &'static str = ["query", "http"],
        reason: &'static str = ["size", "expired", "invalidated"],
    }
    /// Cache hits by the tier that answered
    pub counter cache_tier_hits_total { tier: &'static str }
    /// Stale cache entries that were served
    pub counter cache_stale_served_total {}
    /// Lookups and writes of the bucket that machines share, by outcome
    pub counter cache_shared_total { outcome: &'static str }
    /// 1 while the bucket that machines share is skipped, because it did not respond
    pub reported_gauge cache_shared_open {}
    /// 1 if the bucket that machines share ignores conditional writes, so that there are no leases
    pub reported_gauge cache_shared_unconditional {}
    /// 1 while nothing is written to the bucket that machines share, because it denied or failed a write
    pub reported_gauge cache_shared_read_only {}

    /// The build that runs, always 1
    pub gauge build_info { version: &'static str, git_sha: &'static str, rustc: &'static str }
    /// Panics of the process, including caught ones
    pub counter panics_total {}
    /// Processor time of the process in seconds
    pub reported_seconds process_cpu_seconds_total {}
    /// Resident memory of the process in bytes
    pub reported_gauge process_resident_memory_bytes {}
    /// Virtual memory of the process in bytes
    pub reported_gauge process_virtual_memory_bytes {}
    /// Open file descriptors of the process
    pub reported_gauge process_open_fds {}
    /// File descriptors that the process may have open
    pub reported_gauge process_max_fds {}
    /// Threads of the process
    pub reported_gauge process_threads {}
    /// Start of the process as seconds since 1970
    pub reported_gauge process_start_time_seconds {}

    /// Memory that the control group uses in bytes, including its page cache: of this group, or of an ancestor that is nearer to its limit
    pub reported_gauge cgroup_memory_usage_bytes {}
    /// Memory of the control group in bytes that the kernel cannot reclaim: its use without inactive page cache
    pub reported_gauge cgroup_memory_working_set_bytes {}
    /// Memory that this group may use in bytes
    pub reported_gauge cgroup_memory_limit_bytes {}
    /// Processes of the control group that the kernel killed because memory ran out
    pub reported_counter cgroup_oom_kills_total {}
    /// Processor cores that the control group may use
    pub reported_gauge cgroup_cpu_limit_cores {}
    /// Periods in which the control group was allowed to run
    pub reported_counter cgroup_cpu_periods_total {}
    /// Periods in which the control group was throttled at its processor limit
    pub reported_counter cgroup_cpu_throttled_periods_total {}
    /// Time that the control group was throttled at its processor limit in seconds
    pub reported_seconds cgroup_cpu_throttled_seconds_total {}

    /// Worker threads of the tokio runtime
    pub gauge tokio_workers {}
    /// Tasks that live in the tokio runtime
    pub gauge tokio_alive_tasks {}
    /// Tasks that no worker of the tokio runtime has taken yet
    pub gauge tokio_global_queue_depth {}
    /// Time that the workers of the tokio runtime were busy in seconds
    pub seconds tokio_worker_busy_seconds_total {}
    /// Time from spawning a task to its first poll in seconds, probed each second
    pub histogram tokio_scheduler_lag_seconds buckets [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0] {}

    /// Label values that became other
    pub counter ops_metrics_overflow_total { metric: &'static str, label: &'static str }
    /// Values that were refused, or had their labels renamed
    pub counter ops_metrics_rejected_total { metric: &'static str, reason: RejectReason }
    /// Series of each metric
    pub gauge ops_metrics_series { metric: &'static str }
    /// Time to render the metrics in seconds
    pub histogram ops_metrics_render_seconds {}
    /// Size of the last exposition in bytes, not compressed
    pub gauge ops_metrics_render_bytes {}
    /// Scrapes that were answered
    pub counter ops_metrics_scrapes_total {}
    /// Scrapes that were refused or failed, and scrapes and reads without the values of a hook
    pub counter ops_metrics_scrape_failures_total { reason: ScrapeFailure }
}

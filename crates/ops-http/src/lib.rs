//! What it means that a request began, ran and ended: one tower layer that logs, traces and metrics observe.

//! Query results as Parquet behind a memory tier, a DuckDB warehouse, and HTTP caching headers.

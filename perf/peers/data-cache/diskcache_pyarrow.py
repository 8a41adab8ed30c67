"""A disk hit in a Python service: diskcache stores the bytes, pyarrow turns them into a table.

    python diskcache_pyarrow.py FILE.parquet parquet|ipc

prints for each line that it reads the nanoseconds for a hit in Parquet (zstd) or in Arrow IPC. `cargo bench -p data-cache`
runs it, and takes turns with it.
"""

import sys
import tempfile
import time

import diskcache
import pyarrow as pa
import pyarrow.parquet as pq


def measured(work, seconds=0.1):
    work()
    runs, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()
        runs += 1
    return (time.perf_counter() - started) * 1e9 / runs


def main(path, codec):
    table = pq.read_table(path, use_threads=False)
    with tempfile.TemporaryDirectory() as directory, diskcache.Cache(directory) as cache:
        sink = pa.BufferOutputStream()
        if codec == "parquet":
            pq.write_table(table, sink, compression="zstd", compression_level=1)
        else:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        cache.set("result", sink.getvalue().to_pybytes(), expire=3600)

        def parquet():
            return pq.read_table(pa.BufferReader(cache.get("result")), use_threads=False)

        def ipc():
            return pa.ipc.open_stream(pa.BufferReader(cache.get("result"))).read_all()

        hit = {"parquet": parquet, "ipc": ipc}[codec]
        assert hit().num_rows == table.num_rows
        for _ in sys.stdin:
            print(f"{measured(hit):.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

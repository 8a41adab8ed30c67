# Image of the reference platform: docker build -t kearney-platform . && docker run --read-only -p 8000:8000 -v kearney:/data kearney-platform
# A release pins the images by digest (`FROM image@sha256:...`).

FROM node:22-bookworm-slim AS engine
WORKDIR /engine
# the library, its version and its checksum are those of xtask/src/tools.rs
RUN npm pack --silent @duckdb/node-bindings-linux-x64@1.5.6-r.1 \
 && echo "1b9f82478539bb9a1d1df44bd103121a12ae52142c07158dc52b97d2ec1d69ff  duckdb-node-bindings-linux-x64-1.5.6-r.1.tgz" | sha256sum --check \
 && tar --extract --gzip --strip-components=1 --file duckdb-node-bindings-linux-x64-1.5.6-r.1.tgz package/libduckdb.so package/LICENSE

FROM rust:1.95-bookworm AS build
WORKDIR /src
ENV DUCKDB_LIB_DIR=/engine CARGO_TARGET_DIR=/target
COPY --from=engine /engine /engine
COPY . .
RUN cargo xtask dist --to /dist \
 && mkdir /data \
 && mv /dist/kearney-platform-*-linux /dist/kearney-platform

# libc, libstdc++ and the certificates of public authorities; no shell, no package manager
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /dist/kearney-platform /opt/kearney-platform
COPY --from=build --chown=65532:65532 /data /data
WORKDIR /opt/kearney-platform
USER 65532:65532
ENV OPS_ENV=production HOST=0.0.0.0 PORT=8000 KEARNEY_DATA_DIR=/data KEARNEY_LOG_FILE=none TMPDIR=/data
# everything that is written; the root file system may be read-only
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/opt/kearney-platform/kearney-platform", "healthcheck"]
ENTRYPOINT ["/opt/kearney-platform/kearney-platform"]
CMD ["serve"]

# syntax=docker/dockerfile:1
# The agent, built from this tree. librdkafka and OpenSSL are built along; the result needs only glibc.
FROM rust:1.95-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential perl pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY proto proto
COPY protocol-model protocol-model
COPY crates crates
COPY agent agent
COPY examples examples
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p streamgauge --features vrl --bin streamgauge && cp target/release/streamgauge /usr/local/bin/

FROM debian:bookworm-slim
# A user of its own, and a state directory that it may write to.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin streamgauge \
    && install -d -o 10001 -g 10001 /var/lib/streamgauge
COPY --from=build /usr/local/bin/streamgauge /usr/local/bin/streamgauge
USER 10001:10001
WORKDIR /var/lib/streamgauge
VOLUME /var/lib/streamgauge
EXPOSE 9746
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["streamgauge", "health"]
ENTRYPOINT ["streamgauge"]
CMD ["run", "-c", "/etc/streamgauge/config.yaml"]

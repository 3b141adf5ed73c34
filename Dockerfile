# MeetMind in a container: built with the pinned toolchain, run as a user without rights.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace && cp target/release/meetmind /meetmind

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data meetmind && install -d -o meetmind -g meetmind -m 700 /data
COPY --from=build /meetmind /usr/local/bin/meetmind
USER meetmind
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENV MEETMIND_DATA_DIR=/data MEETMIND_LISTEN=0.0.0.0:8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["meetmind"]
CMD ["serve"]

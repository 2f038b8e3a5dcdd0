# syntax=docker/dockerfile:1
# One image with both programs. Build: docker build -t scrim .
# The go build line is the one of `make release`: no cgo, no paths of the building machine, no symbols.

# The version of go.mod.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV CGO_ENABLED=0
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -ldflags='-s -w' -o /out/ ./cmd/scrimd ./cmd/scrim

# busybox: 4 MB, with the shell that docker-compose.yml makes the homes with and the wget of the health check.
FROM busybox:1.37-musl
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /usr/local/bin/
# New named volumes take the owner of the folder they are mounted on.
RUN adduser -D -H -u 65532 -h /var/lib/scrim scrim && mkdir -p /var/lib/scrim /homes/1 /homes/2 /homes/3 /homes/4 \
    && chown -R 65532:65532 /var/lib/scrim /homes && chmod 700 /var/lib/scrim /homes/*
USER 65532:65532
WORKDIR /var/lib/scrim
ENV SCRIM_HOME=/var/lib/scrim
# 26656: the committee's private network. 8080: REST.
EXPOSE 26656 8080
# Alive, not ready: a node that waits for the others is no reason to restart it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["scrimd"]
CMD ["start"]

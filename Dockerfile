# The operator's image: one static executable, run by a user without rights, and
# the agents that it serves to cells.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=$VERSION" -o /kip . && \
    for arch in amd64 arm64; do \
        for part in itzo pause; do \
            CGO_ENABLED=0 GOOS=linux GOARCH=$arch \
            go build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=$VERSION" -o /agents/$part-$arch ./cmd/$part || exit 1; \
        done; \
    done

FROM gcr.io/distroless/static:nonroot
COPY --from=build /kip /kip
COPY --from=build /agents /agents
USER 65532:65532
ENTRYPOINT ["/kip"]

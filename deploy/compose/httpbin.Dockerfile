FROM golang:1.26-bookworm AS build
ARG VERSION
RUN CGO_ENABLED=0 GOBIN=/out go install github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@${VERSION}

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/go-httpbin /go-httpbin
EXPOSE 8080
ENTRYPOINT ["/go-httpbin", "-host", "0.0.0.0", "-port", "8080"]

# The build stage has the compilers; the image has two programs and the shared
# libraries that they name.
ARG DEBIAN=debian:trixie-slim

FROM ${DEBIAN} AS build
WORKDIR /src
COPY deploy/setup.sh deploy/setup.sh
RUN deploy/setup.sh --build
COPY . .
RUN cmake --workflow --preset release \
 && cmake --install build/release --prefix /out --strip --component programs
# Which packages those libraries come from.
RUN ldd /out/bin/* | awk '$3 ~ /^\// {print $3}' | sort -u | xargs readlink -f | xargs dpkg-query --search \
  | cut -d: -f1 | sort -u > /out/packages

FROM ${DEBIAN} AS runtime
COPY --from=build /out/packages /tmp/packages
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive xargs -a /tmp/packages apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /tmp/packages
COPY --from=build --chown=root:root --chmod=0755 /out/bin/ /usr/local/bin/
LABEL org.opencontainers.image.title="gruserve" \
      org.opencontainers.image.description="gRPC inference server for GRU models with server-held hidden state" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 50051/tcp 9464/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 \
  CMD ["/usr/local/bin/gruserve", "--server", "127.0.0.1:50051", "health"]
ENTRYPOINT ["/usr/local/bin/gruserve-server"]
# There is no TLS yet: --insecure says so where everybody sees it.
CMD ["--repository=/models", "--listen=0.0.0.0:50051", "--http-listen=0.0.0.0:9464", "--insecure"]

# The image: the program and its libraries, nothing else. Neither the build host's kernel nor its
# architecture matters; the kernel's types come from Debian's linux-bpf-dev, which is there for amd64 and
# arm64 like everything else here, with the types below the architecture's own directory.

FROM debian:trixie-slim AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bpftool clang gcc libbpf-dev libc6-dev libcap-dev libcmocka-dev libelf-dev libjansson-dev libmicrohttpd-dev zlib1g-dev \
        linux-bpf-dev meson ninja-build pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /cgscope
COPY . .
RUN meson setup build --prefix=/usr --buildtype=release -Dwerror=false \
        -Dvmlinux_h="/usr/include/$(cc -print-multiarch)/linux/bpf/vmlinux.h" \
    && ninja -C build
# Not where the builder emulates another architecture: many times slower, what the tests say of how much is read in
# a second does not hold.
ARG BUILDPLATFORM
ARG TARGETPLATFORM
RUN if [ "$BUILDPLATFORM" = "$TARGETPLATFORM" ]; then \
        meson test -C build --no-rebuild --print-errorlogs --suite unit --suite fuzz; \
    else \
        echo "built for $TARGETPLATFORM on $BUILDPLATFORM: the unit tests are left out"; \
    fi \
    && meson install -C build --no-rebuild --strip --destdir /out
# What the loader maps for the program, the loader itself included, and where it looks for it.
RUN ldd /out/usr/bin/cgscope | grep -o '/[^ ]*' | while read -r library; do \
        install -D -m 755 "$library" "/out$library" || exit 1; \
    done

FROM scratch
ARG VERSION=0.1.0
# What it was built from, for whoever publishes it to say:
# --build-arg REVISION="$(git rev-parse HEAD)" --build-arg SOURCE=https://…
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="cgscope" \
      org.opencontainers.image.description="What every container on a Linux node does at the system-call boundary" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="BSD-2-Clause" \
      org.opencontainers.image.base.name="scratch"
COPY --from=build /out /
# Fails the build if a library was forgotten.
RUN ["/usr/bin/cgscope", "--version"]
ENTRYPOINT ["/usr/bin/cgscope"]

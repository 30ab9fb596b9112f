# syntax=docker/dockerfile:1
# The companion image, for the controller and the node companion.
#
#   docker build -t lazyscope/companion:0.1.0 .
#
# Without a network, from an earlier build (see the stage `prebuilt`):
#   npm run build
#   mkdir -p build/image && cp package.json package-lock.json .npmrc build/image
#   npm ci --omit=dev --omit=optional --prefix build/image
#   buildah bud --isolation chroot --build-arg ARTIFACTS=prebuilt --build-arg BASE_IMAGE=BASE .
#
# BASE_IMAGE needs Node.js >= 20.19 in the PATH and nothing else. A release pins it by digest.
ARG BASE_IMAGE=node:24-bookworm-slim
# The stage from which the image copies its files: `source` or `prebuilt`.
ARG ARTIFACTS=source

# Builds everything from the sources, always on the builder's architecture: JavaScript and Wasm are
# the same for all, and no dependency is native.
FROM --platform=$BUILDPLATFORM ${BASE_IMAGE} AS source
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY asconfig.json tsconfig.json ./
COPY wasm-filter wasm-filter
COPY companion companion
COPY console console
RUN npm run build && npm prune --omit=dev --omit=optional && \
    mkdir -p /app/build && mv build/filter.wasm wasm-filter/previous /app/build/ && \
    mv build/companion node_modules package.json /app/ && cp companion/contract/companion.proto /app/companion/contract/

# The same layout from an earlier build in the context.
FROM scratch AS prebuilt
COPY package.json /app/
COPY build/image/node_modules /app/node_modules
COPY build/companion /app/companion
COPY companion/contract/companion.proto /app/companion/contract/companion.proto
COPY build/filter.wasm /app/build/filter.wasm
COPY wasm-filter/previous /app/build/previous

FROM ${ARTIFACTS} AS artifacts

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Lazyscope companion" \
      org.opencontainers.image.licenses="Apache-2.0"
# Files belong to root, so that a compromised companion cannot change itself.
COPY --from=artifacts /app /app
COPY LICENSE /app/
ENV NODE_ENV=production
WORKDIR /app
# A numeric user, so that the kubelet can check runAsNonRoot; nothing is written to disk.
USER 65532:65532
ENTRYPOINT ["node", "/app/companion/main.js"]
CMD ["--help"]

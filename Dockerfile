# Strata's program in a container, and a Redis as it needs one. Not tried as it stands: there was no Docker where it was
# written. Its installation steps were, one by one, on Debian 12 with Node 24.
FROM node:24-slim AS base

# The queue: Debian's Redis, so that nothing comes from anywhere but Debian and the npm registry.
FROM base AS redis
RUN apt-get update \
  && apt-get install --yes --no-install-recommends redis-server \
  && rm -rf /var/lib/apt/lists/*
USER redis
WORKDIR /var/lib/redis
EXPOSE 6379
# noeviction: jobs must not vanish. appendonly: it comes back with them. Without a password, so for a network of its own.
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--dir", "/var/lib/redis"]

# zstd-napi has no prebuilt binaries in its package; the headers of Node are in the image.
FROM base AS build
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential python3
WORKDIR /strata
COPY . .
RUN npm ci --workspace workers --omit=dev --ignore-scripts \
  && npm_package_config_node_gyp_nodedir=/usr/local npm rebuild zstd-napi

FROM base AS strata
WORKDIR /strata
COPY --from=build /strata/node_modules node_modules
COPY --from=build /strata/package.json package.json
COPY --from=build /strata/shared shared
COPY --from=build /strata/agent agent
COPY --from=build /strata/workers workers
# A volume that is mounted here for the first time belongs to whom its directory belongs.
RUN mkdir -p /srv/strata/store /srv/strata/keyrings \
  && chmod 700 /srv/strata/keyrings \
  && chown -R node:node /srv/strata
USER node
EXPOSE 7420
ENTRYPOINT ["node", "/strata/workers/bin/strata.mjs"]
CMD ["--help"]

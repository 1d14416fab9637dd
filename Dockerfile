# The router in a container. `docs/how-to/container.md` says how to run it; tests/packaging holds this file to its word.
#
#   docker build -t contact-router:0.1.0 .
#   docker run -d --name router -p 127.0.0.1:8080:8080 -v router-data:/var/lib/router contact-router:0.1.0
#   docker exec router router token --role admin --subject me
#
# The port speaks plain HTTP: publish it to a TLS proxy only, or set ROUTER__SERVER__TLS_CERTIFICATE_PATH and …_KEY_PATH.

# The base image is fixed by its digest; `docker buildx imagetools inspect python:3.11-slim-bookworm` prints the present one, which has the
# newest security updates. Python packages are fixed by requirements/.

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements ./requirements
RUN python -m venv /build/venv && \
    /build/venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
RUN python -m venv /opt/router && \
    /opt/router/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /build/venv/bin/python -m pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /build/dist . && \
    /opt/router/bin/python -m pip install --no-cache-dir --no-deps /build/dist/*.whl

FROM python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
LABEL org.opencontainers.image.title="Contact Router" \
      org.opencontainers.image.description="An asynchronous, real-time routing engine for contact centres" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.source="https://contact-router.example" \
      org.opencontainers.image.documentation="https://contact-router.example/blob/main/docs/how-to/container.md" \
      org.opencontainers.image.licenses="Apache-2.0"
# The numbers are fixed, so that a volume's files keep their owner from one image to the next.
RUN groupadd --system --gid 10001 router && \
    useradd --system --uid 10001 --gid router --home-dir /var/lib/router --no-create-home --shell /usr/sbin/nologin router && \
    install -d -o router -g router -m 0700 /var/lib/router
COPY --from=builder /opt/router /opt/router
COPY config/policy.yaml /etc/router/policy.yaml
# Settings as environment, not as arguments: `router token` and `router verify` in the same container read them too.
ENV PATH="/opt/router/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    ROUTER__SERVER__HOST=0.0.0.0 \
    ROUTER__SERVER__PORT=8080 \
    ROUTER__SERVER__BEHIND_PROXY=true \
    ROUTER__JOURNAL__PATH=/var/lib/router/journal.db \
    ROUTER__POLICY__SEED_PATH=/etc/router/policy.yaml
WORKDIR /var/lib/router
VOLUME /var/lib/router
USER 10001:10001
EXPOSE 8080
# A drain takes up to server.drain_s (30 s): give the container longer than that to stop (docker stop -t 45).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['ROUTER__SERVER__PORT']), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["router"]
CMD ["serve"]

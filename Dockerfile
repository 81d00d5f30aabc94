# The gate as an image: linux/amd64 and linux/arm64, whatever the base has; no compiler needed.
#   docker build -t jobgate .
# BASE: any image with Python 3.11 or later at `python3`, venv included.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# pip's own settings, for a mirror or a folder of wheels (--build-arg PIP_NO_INDEX=1 …).
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
WORKDIR /source
RUN python3 -m venv /opt/jobgate
COPY pyproject.toml requirements-test.lock README.md LICENSE ./
COPY src src
COPY config config
COPY proxy proxy
COPY ratelimit ratelimit
RUN /opt/jobgate/bin/pip install --no-cache-dir -c requirements-test.lock . \
    && /opt/jobgate/bin/pip uninstall --yes setuptools pip
COPY deploy/image/entrypoint /opt/jobgate/bin/jobgate-entrypoint
# The health check at a place that does not depend on the version of Python.
RUN ln -s /opt/jobgate/lib/python3*/site-packages/jobgate/probe.py /opt/jobgate/probe.py

FROM ${BASE}
COPY --from=build /opt/jobgate /opt/jobgate
ENV PATH=/opt/jobgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBGATE_LISTEN=0.0.0.0:3128
# A number, so that `runAsNonRoot` can be checked; it owns nothing in the image.
USER 65532:65532
EXPOSE 3128
# Where Bacalhau's executor sets BACALHAU_HTTP_DOMAINS: port 8080; else the address in JOBGATE_LISTEN.
# Each probe is a Python that loads next to nothing; executors wait for the first that succeeds.
HEALTHCHECK --interval=1s --timeout=3s --start-period=5s --retries=3 CMD ["python3", "-IS", "/opt/jobgate/probe.py"]
STOPSIGNAL SIGTERM
# `sidecar`, or `bacalhau` where that variable is set; any other command of jobgate as an argument.
ENTRYPOINT ["jobgate-entrypoint"]

# The gate's image with nft, for the init step that closes a pod's network namespace.
#   docker build -t jobgate-lockdown --build-arg BASE=jobgate -f deploy/kubernetes/lockdown.Dockerfile .
# An image of its own: the gate needs neither nft nor root. BASE is Debian or one of its kin.
ARG BASE=jobgate
FROM ${BASE}
USER 0:0
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nftables \
    && rm -rf /var/lib/apt/lists/*
# The gate's image sets it; here it would mean `--listen`.
ENV JOBGATE_LISTEN=
HEALTHCHECK NONE
ENTRYPOINT ["jobgate", "lockdown"]
CMD []

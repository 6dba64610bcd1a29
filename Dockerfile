# Two images of one build: `engine` (API, dispatcher, consumer, beat, maintenance,
# Flower) and `worker`, which has neither a web framework nor a database driver.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheels
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock .
# The only step that needs the network, and every byte of it has its hash in the lock.
RUN pip wheel --require-hashes --no-deps --wheel-dir /wheels -r requirements.lock
COPY pyproject.toml README.md ./
COPY orchestrator orchestrator
COPY workers workers

# From the wheels above alone: what the lock does not name cannot get in.
FROM wheels AS engine-environment
RUN python -m venv /opt/assay \
    && /opt/assay/bin/pip install --no-index --find-links /wheels '.[server,operations,classify]'

FROM wheels AS worker-environment
RUN python -m venv /opt/assay \
    && /opt/assay/bin/pip install --no-index --find-links /wheels '.[worker,analyzers]'

FROM python:${PYTHON}-slim AS base
RUN useradd --uid 10001 --create-home assay
ENV PATH=/opt/assay/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /home/assay

FROM base AS worker
COPY --from=worker-environment /opt/assay /opt/assay
USER 10001:10001
ENTRYPOINT ["python", "-m", "workers"]
CMD ["--help"]

FROM base AS engine
# A volume that is mounted here takes the owner over.
RUN install -d -o assay -g assay -m 0700 /var/lib/assay-samples
COPY --from=engine-environment /opt/assay /opt/assay
USER 10001:10001
ENTRYPOINT ["assay"]
CMD ["--help"]

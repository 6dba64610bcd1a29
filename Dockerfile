# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/assay
COPY requirements.lock /src/
RUN /opt/assay/bin/pip install --require-hashes -r /src/requirements.lock
COPY orchestrator /opt/assay/lib/python3.12/site-packages/orchestrator
COPY workers /opt/assay/lib/python3.12/site-packages/workers
RUN printf '#!/opt/assay/bin/python\nfrom orchestrator.cli import main\nmain()\n' > /opt/assay/bin/assay \
    && chmod +x /opt/assay/bin/assay

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home assay \
    && install -d -o assay -g assay -m 0700 /var/lib/assay-samples
COPY --from=build /opt/assay /opt/assay
ENV PATH=/opt/assay/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER assay
WORKDIR /home/assay
ENTRYPOINT ["assay"]
CMD ["--help"]

# The alerter as one image. `docker compose up` builds it; alone: docker build -t burnrate .
FROM python:3.11-slim-bookworm

ENV PATH=/opt/burnrate/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

WORKDIR /opt/burnrate

# Requirements first: they change seldom, and this layer is the large one.
COPY requirements/run.txt requirements/run.in requirements/
RUN python -m venv venv
RUN venv/bin/python -m pip install --only-binary :all: --require-hashes --no-deps -r requirements/run.txt

# The same layout as a checkout: configuration and runbooks lie beside the package.
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY config config
COPY docs/runbooks docs/runbooks
RUN venv/bin/python -m pip install --no-deps --no-build-isolation --no-index --editable .

# State (tokens, the worker's name) is a volume; no other place is written to.
RUN install -d -o 10001 -g 10001 /var/lib/burnrate
ENV BURNRATE_DATA=/var/lib/burnrate \
    HOME=/var/lib/burnrate

USER 10001:10001
EXPOSE 5050
CMD ["burnrate", "worker", "--supervised"]

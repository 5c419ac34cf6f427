# The reference service, the acquirers, the pager and the load test in one image, for compose.yaml. Nothing else
# needs it.
FROM python:3.11.14-slim-bookworm AS wheel

WORKDIR /opt/moneypath
COPY requirements/build.txt requirements/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/build.txt
# What .dockerignore lets through: the sources of both distributions, and the project that the second one brings.
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . ./reference

FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/moneypath
COPY requirements/image.txt requirements/
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/image.txt
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl

# Open to all, because the user is chosen when the container starts; a new volume takes over these rights.
RUN mkdir -p /var/lib/moneypath && chmod 1777 /var/lib/moneypath
WORKDIR /var/lib/moneypath
USER 65532:65532

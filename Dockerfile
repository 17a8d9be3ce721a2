# smart-tuner and the trainer. docs/compose.md says how to use it.
FROM python:3.11.13-slim-bookworm

# On a GPU Triton compiles what launches its kernels; Python's headers are in the image.
# Versions of Debian disappear from its servers.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home tuner \
    && install --directory --owner tuner --group tuner /workspace /mlartifacts

# https://download.pytorch.org/whl/cpu for a torch without CUDA, which is 2 GB smaller.
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY smart_tuner smart_tuner
COPY trainer trainer
COPY studies studies
COPY config config
# hadolint ignore=DL3013
RUN pip install --no-cache-dir -c constraints.txt '.[demo,postgresql]'

USER 1000:1000
WORKDIR /home/tuner
ENV SMART_TUNER_WORKSPACE=/workspace
VOLUME /workspace
CMD ["smart-tuner", "--help"]

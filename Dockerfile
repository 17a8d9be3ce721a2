# smart-tuner and the trainer. docs/compose.md says how to use it.
FROM python:3.11-slim

# https://download.pytorch.org/whl/cpu for a torch without CUDA, which is 2 GB smaller.
ARG PIP_EXTRA_INDEX_URL=""

RUN useradd --create-home tuner && install --directory --owner tuner /workspace
# On a GPU Triton compiles what launches its kernels; Python's headers are in the image.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY smart_tuner smart_tuner
COPY trainer trainer
COPY studies studies
COPY config config
RUN pip install --no-cache-dir '.[demo,postgresql]'

USER tuner
WORKDIR /home/tuner
ENV SMART_TUNER_WORKSPACE=/workspace
VOLUME /workspace
CMD ["smart-tuner", "--help"]
